//! Work in a pid namespace that is open.

use crate::{Error, Result, clone::fork, descriptors::made};
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, setns},
    sys::wait::{WaitStatus, waitpid},
    unistd::{Pid, pipe2},
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

const DOING: &str = "work in a pid namespace";

/// Has a child that is in a pid namespace open something, which is ours then. The calling thread must be the only one.
///
/// # Errors
/// Those of setns(2) and clone3(2); of the work the text alone.
pub fn open_in_pids(
    space: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<OwnedFd>,
) -> Result<OwnedFd> {
    let fail = |e| Error::new(DOING, e);
    let (hear, tell) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
    // What is open in the children is open here, and ours to close.
    let well = within(space, libc::CLONE_FILES as u64, || told(work(), tell.try_clone()))?;
    drop(tell);
    let mut said = String::new();
    File::from(hear).read_to_string(&mut said).map_err(|e| Error::new(DOING, e))?;
    match said.parse() {
        Ok(number) if well => made(number).map_err(|e| Error::new(DOING, e)),
        _ => Err(Error::because(DOING, said)),
    }
}

/// Has a child that is in a pid namespace do something; gives whether that has succeeded. The calling thread must be the only one.
///
/// # Errors
/// Those of setns(2) and clone3(2).
pub fn do_in_pids(space: BorrowedFd<'_>, work: impl FnOnce() -> bool) -> Result<bool> {
    within(space, 0, work)
}

fn within(space: BorrowedFd<'_>, flags: u64, work: impl FnOnce() -> bool) -> Result<bool> {
    let Some(child) = fork(&[], flags)? else {
        // Only what a child makes from here on is there.
        let inside = setns(space, CloneFlags::CLONE_NEWPID).ok().map(|()| fork(&[], flags));
        let well = match inside {
            Some(Ok(Some(inside))) => ends_well(inside),
            Some(Ok(None)) => work(),
            Some(Err(_)) | None => false,
        };
        std::process::exit(i32::from(!well));
    };
    Ok(ends_well(child))
}

/// Tells the number of what was opened, or why there is none.
fn told(opened: Result<OwnedFd>, tell: io::Result<OwnedFd>) -> bool {
    let Ok(tell) = tell else { return false };
    let text = match &opened {
        Ok(fd) => fd.as_raw_fd().to_string(),
        Err(error) => error.to_string(),
    };
    let told = File::from(tell).write_all(text.as_bytes()).is_ok();
    let well = told && opened.is_ok();
    std::mem::forget(opened);
    well
}

fn ends_well(child: i32) -> bool {
    matches!(waitpid(Pid::from_raw(child), None), Ok(WaitStatus::Exited(_, 0)))
}
