//! Processes that have ended: what is to be a handle, or a directory in /proc, of such a one is opened before it is waited for.

use crate::{
    Error, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, arguments, clone3, wait_for, without_signals},
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// A child of ours that ends, or has ended, and is waited for when this is dropped.
#[derive(Debug)]
pub struct Ended {
    pid: i32,
    status: u32,
    waited: bool,
}

impl Ended {
    /// Starts one that ends with this wait status (wait(2), without the flag of a core dump), in a user namespace where one is
    /// given.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn start(status: u32, user: Option<BorrowedFd<'_>>) -> Result<Self> {
        let user = user.map(|fd| fd.as_raw_fd());
        // Without a signal at its end, nobody but us waits for it.
        let mut args = arguments(&[], CLONE_CLEAR_SIGHAND, 0);
        let pid = without_signals(|| {
            // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
            let pid = unsafe { clone3(&mut args) };
            if pid == 0 {
                // SAFETY: numbers only.
                let entered = user.is_none_or(|fd| unsafe {
                    libc::syscall(libc::SYS_setns, fd, libc::CLONE_NEWUSER) == 0
                });
                end(if entered { status } else { REFUSED });
            }
            check(pid)
        });
        let pid = pid.map_err(fail)? as i32;
        Ok(Self { pid, status, waited: false })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns when it has ended; it stays a zombie.
    ///
    /// # Errors
    /// Where it ends in another way: no process ends by a signal that does not kill.
    pub fn watch(&self) -> Result<()> {
        // SAFETY: an all-zero siginfo_t is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        loop {
            // SAFETY: the kernel writes one siginfo_t.
            let done = unsafe { libc::waitid(libc::P_PID, self.pid as u32, &mut info, flags) };
            match check(done.into()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => {
                    done.map_err(fail)?;
                    break;
                }
            }
        }
        // SAFETY: waitid(2) sets it for a child that has ended.
        let code = unsafe { info.si_status() } as u32;
        let exited = info.si_code == libc::CLD_EXITED;
        self.compare(if exited { code << 8 } else { code })
    }

    /// Waits for it.
    ///
    /// # Errors
    /// As [`Ended::watch`].
    pub fn wait(mut self) -> Result<()> {
        self.waited = true;
        let ended = wait_for(self.pid).map_err(fail)?;
        self.compare(ended)
    }

    fn compare(&self, ended: u32) -> Result<()> {
        if ended == self.status {
            return Ok(());
        }
        let what = format!("none ends with the status {:#x}, but with {ended:#x}", self.status);
        Err(Error::because("start a process that ends", what))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.waited {
            let _ = wait_for(self.pid);
        }
    }
}

/// The wait status of one that may not enter its user namespace.
const REFUSED: u32 = 127 << 8;

fn fail(e: io::Error) -> Error {
    Error::new("start a process that ends", e)
}

/// Handles of one process that has ended with this wait status (wait(2), without the flag of a core dump) and has been waited
/// for: for each of `threads` one, where that is true of its main thread alone (PIDFD_THREAD).
///
/// # Errors
/// Also where no process ends so: by a signal that does not kill.
pub fn pidfds_of_ended(status: u32, threads: &[bool]) -> Result<Vec<OwnedFd>> {
    let ended = Ended::start(status, None)?;
    let handle = |thread: &bool| match thread {
        true => crate::pidfd_open_thread(ended.pid),
        false => crate::pidfd_open(ended.pid),
    };
    let handles: Result<Vec<OwnedFd>> = threads.iter().map(handle).collect();
    ended.wait()?;
    handles
}

/// Ends the child with a wait status, or with 0 where that cannot be; without a core dump.
fn end(status: u32) -> ! {
    let signal = (status & 0x7f) as i32;
    let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
    // SAFETY: only raw system calls, and an action of ours that the kernel copies.
    unsafe {
        // Newer kernels remember this of one that has ended, and else let only those into its directories who may trace in the user namespace
        // that its memory belonged to.
        libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, u32::from(signal == 0));
        if signal == 0 {
            libc::syscall(libc::SYS_exit_group, status >> 8 & 0xff);
        }
        if !stops {
            // One that restore ignores is still ignored: handler, flags, restorer and mask of the kernel's `sigaction`.
            let action = [0u64; 4];
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, 8);
            let pid = libc::syscall(libc::SYS_getpid);
            libc::syscall(libc::SYS_kill, pid, signal);
            let open = 0u64;
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &open, none, 8);
        }
        loop {
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
}
