//! A copy of a process as fork(2) makes it, which the process does not see.
//!
//! Its memory is shared copy-on-write, so it stays what it was when the process runs on. It is made by a helper
//! that shares the memory of the process, and that the process waits for (see the payload), so it is a child of the process that takes
//! orphans in (PR_SET_CHILD_SUBREAPER of prctl(2)): an init, or another subreaper. It has no descriptors, never returns to user
//! space, and is killed when its tracer dies.

use crate::{InjectedRunner, helper::by_helper};
use floe_sys::{Error, Result};
use floe_tracee::{Event, OPTIONS, Stop, Tracee};
use std::io;

/// Copies the process of a runner. The copy is traced by the calling thread, and stopped for good: SIGKILL ends it.
///
/// # Errors
/// EAGAIN and ENOMEM where the process may have no more children, or there is no memory for them. Where seccomp(2) filters the
/// thread, they must have been set aside.
pub fn copy(runner: &mut InjectedRunner<'_>) -> Result<Tracee> {
    let (ran, made) = by_helper(runner, DOING, of_helper);
    let copy = match (ran, made) {
        (Ok(()), Some(made)) => made,
        (Ok(()), None) => Err(Error::because(DOING, "nothing was made")),
        (Err(error), made) => {
            made.and_then(Result::ok).into_iter().for_each(discard);
            Err(error)
        }
    };
    copy.map_err(|e| e.pid(runner.tid() as u32))
}

const DOING: &str = "copy the process";

/// One that cannot be killed has ended.
fn discard(copy: Tracee) {
    let _ = copy.kill();
}

/// Lets the helper make the copy, and end.
fn of_helper(event: Event) -> Result<Tracee> {
    let mut helper = Tracee::adopt(event.message as i32)?;
    let mut copy = None;
    let ended = run_helper(&mut helper, &mut copy);
    if ended.is_err() {
        // Alone it comes to its end as well; it may be there already.
        let _ = helper.detach();
    }
    let made = copy.unwrap_or_else(|| Err(Error::because(DOING, "the helper made none")));
    match (ended, made) {
        (Ok(()), made) => made,
        (Err(error), made) => {
            made.into_iter().for_each(discard);
            Err(error)
        }
    }
}

/// Runs the helper to its end.
fn run_helper(helper: &mut Tracee, copy: &mut Option<Result<Tracee>>) -> Result<()> {
    loop {
        match helper.cont(0)?.wait()? {
            Stop::Event(libc::PTRACE_EVENT_CLONE) => {
                let pid = helper.event_message()? as i32;
                *copy = Some(without_descriptors(pid));
            }
            Stop::Exited(0) => return Ok(()),
            Stop::Exited(errno) => {
                return Err(Error::new(DOING, io::Error::from_raw_os_error(errno)));
            }
            Stop::Killed(_) => return Err(Error::because(DOING, "the helper was killed")),
            _ => {}
        }
    }
}

/// Lets a copy give up its descriptors, and holds it there.
fn without_descriptors(pid: i32) -> Result<Tracee> {
    let mut copy = Tracee::adopt(pid)?;
    copy.set_options(OPTIONS | libc::PTRACE_O_EXITKILL)?;
    for _ in 0..2 {
        let stop = copy.cont_to_syscall(0)?.wait()?;
        if stop != Stop::Syscall {
            return Err(Error::because(DOING, format!("the copy met {stop:?}")));
        }
    }
    match copy.regs()?.rax() as i64 {
        0 => Ok(copy),
        value => {
            let cause = io::Error::from_raw_os_error(-value as i32);
            Err(Error::new("close the descriptors of a copy", cause))
        }
    }
}
