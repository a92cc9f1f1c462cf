//! A process that kills others if we die before we have dismissed it.

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// A child that waits for one byte. At end of file it sends SIGKILL to the processes that it guards.
#[derive(Debug)]
pub struct Guardian {
    pid: i32,
    say: Option<OwnedFd>,
}

impl Guardian {
    /// Starts one for these processes. It blocks all signals that can be blocked.
    pub fn over(pids: &[i32]) -> Result<Self> {
        let fail = |e: io::Error| Error::new("start a guardian", e);
        let (hear, say) = io::pipe().map_err(fail)?;
        let (hear, say) = (OwnedFd::from(hear), OwnedFd::from(say));
        // Memory for the child is allocated before the fork: behind it, it must not allocate.
        let mut known = pids.to_vec();
        let pid = crate::clone::without_signals(|| {
            // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                watch(hear.as_raw_fd(), pids, &mut known);
            }
            check(i64::from(pid))
        });
        let pid = pid.map_err(fail)? as i32;
        Ok(Self { pid, say: Some(say) })
    }

    /// Ends it without killing the processes.
    pub fn dismiss(mut self) -> Result<()> {
        match self.say.take().map(|say| nix::unistd::write(&say, &[1])) {
            // It was killed, and can do nothing any more.
            None | Some(Ok(_) | Err(nix::Error::EPIPE)) => Ok(()),
            Some(Err(e)) => Err(Error::new("dismiss a guardian", e)),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // End of file, unless it was dismissed.
        drop(self.say.take());
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// The child. It keeps only `hear` open, and handles of the processes, because pids may be reused.
fn watch(hear: i32, pids: &[i32], known: &mut [i32]) -> ! {
    let mut byte = 0u8;
    // SAFETY: numbers, and one byte of ours to be written to.
    unsafe {
        if hear > 0 {
            libc::syscall(libc::SYS_close_range, 0, hear - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, hear + 1, u32::MAX, 0);
        for (pid, known) in pids.iter().zip(&mut *known) {
            *known = libc::syscall(libc::SYS_pidfd_open, *pid, 0) as i32;
        }
        let got = loop {
            let got = libc::read(hear, std::ptr::from_mut(&mut byte).cast(), 1);
            if got >= 0 || *libc::__errno_location() != libc::EINTR {
                break got;
            }
        };
        for (pid, known) in pids.iter().zip(known).filter(|_| got != 1) {
            // The limit of descriptors was reached.
            if *known < 0 {
                libc::kill(*pid, libc::SIGKILL);
            } else {
                libc::syscall(libc::SYS_pidfd_send_signal, *known, libc::SIGKILL, 0, 0);
            }
        }
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn it_ends_them_unless_dismissed() {
        let mut children = [sleeper(), sleeper()];
        let pids: Vec<i32> = children.iter().map(|child| child.id() as i32).collect();
        Guardian::over(&pids).unwrap().dismiss().unwrap();
        assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        drop(Guardian::over(&pids).unwrap());
        assert!(children.iter_mut().all(|child| !child.wait().unwrap().success()));
    }
}
