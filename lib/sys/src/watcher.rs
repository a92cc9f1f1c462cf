//! A child that does something if we die before we have dismissed it, by whatever signal.

use crate::{check, clone::without_signals};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

/// A child that waits for a word. When this is dropped, and at end of file, which comes when we die, it does its work.
#[derive(Debug)]
pub(crate) struct Watcher {
    pid: i32,
    say: Option<OwnedFd>,
}

impl Watcher {
    /// Starts one. It blocks all signals that can be blocked, and calls `begin` with the descriptor that it waits at, and in the
    /// end `last`, unless it is dismissed. Both run behind a fork: they must not allocate, and call nothing but the kernel.
    pub fn start(begin: impl FnOnce(RawFd), last: impl FnOnce()) -> io::Result<Self> {
        Self::start_in_two(begin, |_| last())
    }

    /// The same; `last` is told whether there was a [`Watcher::turn`].
    pub fn start_in_two(begin: impl FnOnce(RawFd), last: impl FnOnce(bool)) -> io::Result<Self> {
        let (hear, say) = io::pipe()?;
        let (hear, say) = (OwnedFd::from(hear), OwnedFd::from(say));
        let pid = without_signals(|| {
            // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                watch(hear.as_raw_fd(), say.as_raw_fd(), begin, last);
            }
            check(i64::from(pid))
        })?;
        Ok(Self { pid: pid as i32, say: Some(say) })
    }

    /// From now on its work is another one.
    pub fn turn(&self) -> io::Result<()> {
        let none = || io::Error::from_raw_os_error(libc::EPIPE);
        let say = self.say.as_ref().ok_or_else(none)?;
        Ok(nix::unistd::write(say, &[TURN]).map(drop)?)
    }

    /// Ends it; its work is left undone.
    pub fn dismiss(mut self) -> io::Result<()> {
        match self.say.take().map(|say| nix::unistd::write(&say, &[DISMISSED])) {
            // It was killed, and can do nothing any more.
            None | Some(Ok(_) | Err(nix::Error::EPIPE)) => Ok(()),
            Some(Err(e)) => Err(e.into()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Unless it was dismissed. Processes that we have made may have the pipe as well, so end of file may not come.
        if let Some(say) = self.say.take() {
            let _ = nix::unistd::write(&say, &[NOW]);
        }
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// What it is told.
const DISMISSED: u8 = 1;
const TURN: u8 = 2;
const NOW: u8 = 3;

/// The child. The pipe ends when nobody has `say` any more.
fn watch(hear: RawFd, say: RawFd, begin: impl FnOnce(RawFd), last: impl FnOnce(bool)) -> ! {
    let (mut byte, mut turned) = (0u8, false);
    // SAFETY: numbers, and one byte of ours to be written to.
    let got = unsafe {
        libc::close(say);
        begin(hear);
        loop {
            let got = libc::read(hear, std::ptr::from_mut(&mut byte).cast(), 1);
            if got == 1 && byte == TURN {
                turned = true;
            } else if got >= 0 || *libc::__errno_location() != libc::EINTR {
                break got;
            }
        }
    };
    if got != 1 || byte == NOW {
        last(turned);
    }
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// In a child: a session of its own. A signal to our process group must not end both.
pub(crate) fn leave_group() {
    // SAFETY: no memory is touched.
    unsafe { libc::setsid() };
}

/// In a child: closes all descriptors but these, which come into order. What we hold must end with us.
pub(crate) fn close_others(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept.iter().map(|fd| *fd as u32) {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}
