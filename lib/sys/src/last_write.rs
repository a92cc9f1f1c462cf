//! A process that writes to files if we die before we have done so ourselves.

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// A child, in a session of its own, that waits for one byte. At end of file it writes to the files that it was given.
#[derive(Debug)]
pub struct LastWrite {
    pid: i32,
    say: Option<OwnedFd>,
}

impl LastWrite {
    /// Starts one for these files, open for writing, each with what is written by a single call. It blocks all signals that can
    /// be blocked.
    ///
    /// # Errors
    /// Those of pipe(2) and fork(2).
    pub fn to(files: &[(OwnedFd, &'static [u8])]) -> Result<Self> {
        let fail = |e: io::Error| Error::new("start a process that watches over us", e);
        let (hear, say) = io::pipe().map_err(fail)?;
        let (hear, say) = (OwnedFd::from(hear), OwnedFd::from(say));
        // Memory for the child is allocated before the fork: behind it, it must not allocate.
        let others = others(files.iter().map(|(fd, _)| fd).chain([&hear]));
        let pid = crate::clone::without_signals(|| {
            // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                watch(hear.as_raw_fd(), files, &others);
            }
            check(i64::from(pid))
        });
        Ok(Self { pid: pid.map_err(fail)? as i32, say: Some(say) })
    }

    /// Ends it; it writes nothing.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn dismiss(mut self) -> Result<()> {
        match self.say.take().map(|say| nix::unistd::write(&say, &[1])) {
            // It was killed, and can do nothing any more.
            None | Some(Ok(_) | Err(nix::Error::EPIPE)) => Ok(()),
            Some(Err(e)) => Err(Error::new("dismiss a process that watches over us", e)),
        }
    }
}

impl Drop for LastWrite {
    fn drop(&mut self) {
        // End of file, unless it was dismissed.
        drop(self.say.take());
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// All ranges of numbers, first and last, that are none of these.
fn others<'a>(kept: impl Iterator<Item = &'a OwnedFd>) -> Vec<(u32, u32)> {
    let mut kept: Vec<u32> = kept.map(|fd| fd.as_raw_fd() as u32).collect();
    kept.sort_unstable();
    let (mut ranges, mut first) = (Vec::with_capacity(kept.len() + 1), 0);
    for fd in kept {
        if fd > first {
            ranges.push((first, fd - 1));
        }
        first = fd + 1;
    }
    ranges.push((first, u32::MAX));
    ranges
}

/// The child. It keeps open only what it needs: what we hold must end with us.
fn watch(hear: i32, files: &[(OwnedFd, &'static [u8])], others: &[(u32, u32)]) -> ! {
    let mut byte = 0u8;
    // SAFETY: numbers, one byte of ours to be written to, and constants to be read.
    unsafe {
        libc::setsid();
        for (first, last) in others {
            libc::syscall(libc::SYS_close_range, *first, *last, 0);
        }
        let got = loop {
            let got = libc::read(hear, std::ptr::from_mut(&mut byte).cast(), 1);
            if got >= 0 || *libc::__errno_location() != libc::EINTR {
                break got;
            }
        };
        for (fd, text) in files.iter().filter(|_| got != 1) {
            libc::write(fd.as_raw_fd(), text.as_ptr().cast(), text.len());
        }
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, fs::File};

    #[test]
    fn it_writes_unless_dismissed() {
        let path = std::env::temp_dir().join(format!("floe-last-write-{}", std::process::id()));
        let file = || (OwnedFd::from(File::create(&path).unwrap()), &b"last"[..]);
        LastWrite::to(&[file()]).unwrap().dismiss().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop(LastWrite::to(&[file(), file()]).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"last");
        fs::remove_file(path).unwrap();
    }
}
