//! Children that do one work and end.

use crate::{Result, clone::fork, close_stdin, watcher};
use std::{
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Exit code of a child whose work has panicked.
const PANICKED: u8 = 101;

/// Starts a child that does `work` and ends with the code that it gives; `flags` are those of clone(2), none that shares memory.
/// Nothing of the caller is dropped in it.
///
/// # Errors
/// Also where this process has other threads.
pub fn child(flags: u64, work: impl FnOnce() -> u8) -> Result<i32> {
    match fork(&[], flags)? {
        Some(pid) => Ok(pid),
        None => {
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED);
            // SAFETY: it does not return.
            unsafe { libc::_exit(code.into()) }
        }
    }
}

/// The same of one that outlives us: it has a session of its own, blocks all signals, stands in the root directory, and has no
/// descriptor of ours but these and standard error. Signals to us and to our terminal are not for it.
///
/// # Errors
/// Also where this process has other threads.
pub fn child_apart(kept: &[BorrowedFd<'_>], name: &str, work: impl FnOnce() -> u8) -> Result<i32> {
    const FAILED: u8 = 1;
    let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.extend(0..=libc::STDERR_FILENO);
    child(0, || {
        watcher::leave_group();
        let _ = nix::sys::signal::SigSet::all().thread_set_mask();
        watcher::close_others(&mut kept);
        let ready = close_stdin().is_ok()
            && nix::unistd::dup2_stdout(std::io::stdin()).is_ok()
            && std::env::set_current_dir("/").is_ok();
        if !ready {
            return FAILED;
        }
        // Only for who looks at a list of processes.
        let _ = std::ffi::CString::new(name).map(|name| nix::sys::prctl::set_name(&name));
        work()
    })
}
