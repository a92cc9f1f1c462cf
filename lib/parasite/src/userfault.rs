//! A userfaultfd(2) of the memory of a process, of which the process has no descriptor: a helper that shares its memory, and has
//! a table of descriptors of its own, makes it, and ends when we have a duplicate.

use crate::{InjectedRunner, helper::by_helper};
use floe_sys::{Error, NOTED_WRITES_FLAGS, Result, pidfd_getfd, pidfd_open};
use floe_tracee::{Event, OPTIONS, Stop, Tracee};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

const DOING: &str = "make a userfaultfd of its memory";
/// CLOSE_RANGE_UNSHARE.
const UNSHARE: u64 = 2;
/// Bytes of the instruction `syscall`.
const SYSCALL: u64 = 2;

/// Makes one for the process of a runner. Where seccomp(2) filters the thread, that must be possible to set aside.
///
/// # Errors
/// EPERM and ENOSYS where the kernel lets nobody have one; EAGAIN where the process may have no more children.
pub fn userfault(runner: &mut InjectedRunner<'_>) -> Result<OwnedFd> {
    let pid = runner.tid() as u32;
    let (ran, made) = by_helper(runner, DOING, of_helper);
    let nothing = || Err(Error::because(DOING, "nothing was made"));
    ran.and(made.unwrap_or_else(nothing)).map_err(|e| e.pid(pid))
}

/// Has the helper make it, and end.
fn of_helper(event: Event) -> Result<OwnedFd> {
    let mut helper = Tracee::adopt(event.message as i32)?;
    let made = made(&mut helper);
    let ended = match made {
        Ok(_) => end(&mut helper),
        Err(_) => Ok(()),
    };
    match (made, ended) {
        (Ok(made), Ok(())) => Ok(made),
        (Ok(_), Err(error)) | (Err(error), _) => {
            // It may have ended by itself. The process waits for it.
            let _ = helper.kill();
            Err(error)
        }
    }
}

fn made(helper: &mut Tracee) -> Result<OwnedFd> {
    // Whatever becomes of us, nothing is left of it.
    helper.suspend_seccomp(OPTIONS | libc::PTRACE_O_EXITKILL)?;
    call(helper, libc::SYS_close_range, [0, u64::from(u32::MAX), UNSHARE])?;
    let fd = call(helper, libc::SYS_userfaultfd, [NOTED_WRITES_FLAGS, 0, 0])?;
    pidfd_getfd(pidfd_open(helper.tid())?.as_fd(), fd as i32)
}

fn end(helper: &mut Tracee) -> Result<()> {
    prepare(helper, libc::SYS_exit_group, [0; 3])?;
    loop {
        match helper.cont(0)?.wait()? {
            Stop::Exited(_) => return Ok(()),
            Stop::Killed(_) => return Err(Error::because(DOING, "the helper was killed")),
            _ => {}
        }
    }
}

/// Has it execute the system call that it has just come out of once more, as another one.
fn prepare(helper: &Tracee, nr: i64, args: [u64; 3]) -> Result<()> {
    let mut regs = helper.regs()?;
    let again = regs.rip() - SYSCALL;
    regs.set_rip(again).set_rax(nr as u64).set_orig_rax(u64::MAX);
    regs.set_args([args[0], args[1], args[2], 0, 0, 0]);
    helper.set_regs(&regs)
}

fn call(helper: &mut Tracee, nr: i64, args: [u64; 3]) -> Result<u64> {
    prepare(helper, nr, args)?;
    for _ in 0..2 {
        let stop = helper.cont_to_syscall(0)?.wait()?;
        if stop != Stop::Syscall {
            return Err(Error::because(DOING, format!("the helper met {stop:?}")));
        }
    }
    match helper.regs()?.rax() as i64 {
        value @ -4095..0 => Err(Error::new(DOING, io::Error::from_raw_os_error(-value as i32))),
        value => Ok(value as u64),
    }
}
