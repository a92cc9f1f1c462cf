//! A process that is there only to have a number.

use crate::{
    Error, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, arguments, clone3, without_signals},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// A process of ours with this number, which does nothing and ends when this is dropped.
#[derive(Debug)]
pub struct Placeholder(Pid);

impl Placeholder {
    /// Starts one. Takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// EEXIST where the number is taken.
    pub fn new(pid: i32) -> Result<Self> {
        let set_tid = [pid];
        let mut args = arguments(&set_tid, CLONE_CLEAR_SIGHAND, 0);
        let made = without_signals(|| {
            // SAFETY: the child has its own memory, and calls nothing but the kernel.
            let made = unsafe { clone3(&mut args) };
            if made == 0 {
                // SAFETY: numbers only. It ends with us in any case.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    loop {
                        libc::pause();
                    }
                }
            }
            check(made)
        });
        made.map(|pid| Self(Pid::from_raw(pid as i32)))
            .map_err(|e| Error::new(format!("start a process with pid {pid}"), e))
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
    }
}
