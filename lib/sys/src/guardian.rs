//! A process that kills others if we die before we have dismissed it.

use crate::{
    Error, Result,
    watcher::{Watcher, close_others},
};
use std::cell::Cell;

/// A child that sends SIGKILL to the processes that it guards, unless it is dismissed.
#[derive(Debug)]
pub struct Guardian(Watcher);

impl Guardian {
    /// Starts one for these processes. It blocks all signals that can be blocked.
    pub fn over(pids: &[i32]) -> Result<Self> {
        // Handles of the processes, because pids may be reused; memory for them is there before the fork.
        let known: Vec<Cell<i32>> = vec![Cell::new(-1); pids.len()];
        let begin = |hear| {
            close_others(&mut [hear]);
            for (pid, known) in pids.iter().zip(&known) {
                // SAFETY: numbers.
                known.set(unsafe { libc::syscall(libc::SYS_pidfd_open, *pid, 0) } as i32);
            }
        };
        let last = || pids.iter().zip(&known).for_each(|(pid, known)| kill(*pid, known.get()));
        let watcher = Watcher::start(begin, last).map_err(|e| Error::new("start a guardian", e))?;
        Ok(Self(watcher))
    }

    /// Ends it without killing the processes.
    pub fn dismiss(self) -> Result<()> {
        self.0.dismiss().map_err(|e| Error::new("dismiss a guardian", e))
    }
}

fn kill(pid: i32, handle: i32) {
    // SAFETY: numbers, and no `siginfo`.
    unsafe {
        // The limit of descriptors was reached.
        if handle < 0 {
            libc::kill(pid, libc::SIGKILL);
        } else {
            libc::syscall(libc::SYS_pidfd_send_signal, handle, libc::SIGKILL, 0, 0);
        }
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
