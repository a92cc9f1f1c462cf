//! A process that kills others if we die before we have dismissed it.

use crate::{
    Error, Result,
    tcp_repair::Reconnection,
    watcher::{Watcher, close_others},
};
use std::{cell::Cell, os::fd::RawFd};

/// A child that sends SIGKILL to the processes that it guards, unless it is dismissed. From [`Guardian::turn`] on they are to live:
/// it finishes what is left to do for their TCP connections instead, which are out of repair mode by then: they run as soon as we have
/// died.
#[derive(Debug)]
pub struct Guardian(Watcher);

impl Guardian {
    /// Starts one for these processes, which have these connections. It blocks all signals that can be blocked.
    pub fn over(pids: &[i32], connections: &Reconnection<'_>) -> Result<Self> {
        // Handles of the processes, because pids may be reused; memory for them is there before the fork.
        let known: Vec<Cell<i32>> = vec![Cell::new(-1); pids.len()];
        let mut kept: Vec<RawFd> = Vec::with_capacity(connections.sockets.len() + 2);
        kept.extend(connections.fds());
        let begin = |hear| {
            kept.push(hear);
            close_others(&mut kept);
            for (pid, known) in pids.iter().zip(&known) {
                // SAFETY: numbers.
                known.set(unsafe { libc::syscall(libc::SYS_pidfd_open, *pid, 0) } as i32);
            }
        };
        let last = |turned| {
            if turned {
                return connections.finish();
            }
            connections.silence();
            pids.iter().zip(&known).for_each(|(pid, known)| kill(*pid, known.get()));
        };
        let watcher = Watcher::start_in_two(begin, last);
        Ok(Self(watcher.map_err(|e| Error::new("start a guardian", e))?))
    }

    /// From now on the processes live when we die.
    ///
    /// # Errors
    /// EPIPE where the guardian has been killed.
    pub fn turn(&self) -> Result<()> {
        self.0.turn().map_err(|e| Error::new("tell a guardian to let the processes live", e))
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
        let none = Reconnection::default();
        let pids: Vec<i32> = children.iter().map(|child| child.id() as i32).collect();
        Guardian::over(&pids, &none).unwrap().dismiss().unwrap();
        assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        let turned = Guardian::over(&pids, &none).unwrap();
        turned.turn().unwrap();
        drop(turned);
        assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        drop(Guardian::over(&pids, &none).unwrap());
        assert!(children.iter_mut().all(|child| !child.wait().unwrap().success()));
    }
}
