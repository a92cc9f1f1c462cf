//! A process that is in a user namespace which has no other member, so that /proc tells of it.

use crate::{
    Error, Result, check,
    clone::{arguments, clone3, wait_for, without_signals},
};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// The process. It ends when this is dropped, or when the thread that has started it does.
#[derive(Debug)]
pub struct UserMember(i32);

impl UserMember {
    /// Starts it.
    ///
    /// # Errors
    /// Those of clone3(2) and setns(2), the latter without a text of their own.
    pub fn of(space: BorrowedFd<'_>) -> Result<Self> {
        const DOING: &str = "look into a user namespace";
        let fail = |e: io::Error| Error::new(DOING, e);
        let (hear, tell) = io::pipe().map_err(fail)?;
        let mut args = arguments(&[], 0, 0);
        let pid = without_signals(|| {
            // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
            let pid = unsafe { clone3(&mut args) };
            if pid == 0 {
                stay_in(space.as_raw_fd(), tell.as_raw_fd());
            }
            check(pid)
        });
        let member = Self(pid.map_err(fail)? as i32);
        drop(tell);
        let told = File::from(OwnedFd::from(hear)).read_exact(&mut [0]);
        told.map_err(|_| Error::because(DOING, "it could not be entered"))?;
        Ok(member)
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.0 as u32
    }
}

impl Drop for UserMember {
    fn drop(&mut self) {
        // SAFETY: it is our child, and nobody else waits for it.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let _ = wait_for(self.0);
    }
}

/// Enters the namespace, says so, and waits for its end. It runs behind a fork.
fn stay_in(user: RawFd, tell: RawFd) -> ! {
    // SAFETY: only raw system calls; the kernel reads one byte.
    unsafe {
        if libc::syscall(libc::SYS_setns, user, libc::CLONE_NEWUSER) != 0 {
            libc::syscall(libc::SYS_exit_group, 0);
        }
        // Behind setns(2), which makes a process forget it.
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::syscall(libc::SYS_write, tell, c"x".as_ptr(), 1);
        libc::syscall(libc::SYS_close, tell);
        loop {
            libc::syscall(libc::SYS_pause);
        }
    }
}
