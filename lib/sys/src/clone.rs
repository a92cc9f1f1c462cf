//! Starting children with chosen pids.

use crate::{Error, Result, check};
use std::io;

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// Starts a child with the pids `set_tid` (innermost pid namespace first; empty lets the kernel choose).
///
/// `flags`: CLONE_NEWPID, CLONE_PARENT and the like, none that shares memory. The child is a copy of this
/// process with all signals blocked and all handlers reset, and waits to be seized.
pub fn spawn_stub(set_tid: &[i32], flags: u64, exit_signal: i32) -> Result<i32> {
    assert_eq!(
        flags & (libc::CLONE_VM | libc::CLONE_THREAD) as u64,
        0,
        "a stub has its own memory"
    );
    // SAFETY: an all-zero clone_args is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | CLONE_CLEAR_SIGHAND;
    args.exit_signal = exit_signal as u64;
    if !set_tid.is_empty() {
        args.set_tid = set_tid.as_ptr() as u64;
        args.set_tid_size = set_tid.len() as u64;
    }
    let new_namespace = flags & libc::CLONE_NEWPID as u64 != 0;
    let parent = if new_namespace { 0 } else { i64::from(std::process::id()) };
    let pid = without_signals(|| {
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of_val(&args))
        };
        if pid == 0 {
            // SAFETY: no memory is touched; after a fork only raw system calls are allowed.
            unsafe {
                // Until it is traced with PTRACE_O_EXITKILL, only this ends it when we die.
                libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::syscall(libc::SYS_getppid) != parent {
                    libc::syscall(libc::SYS_exit_group, 0);
                }
                loop {
                    libc::syscall(libc::SYS_pause);
                }
            }
        }
        check(pid)
    });
    let what = match set_tid.first() {
        Some(pid) => format!("start a process with pid {pid}"),
        None => "start a process".to_owned(),
    };
    pid.map(|pid| pid as i32).map_err(|e| Error::new(what, e))
}

/// Runs `work` with all signals blocked.
pub(crate) fn without_signals<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut old = 0u64;
    set_mask(&u64::MAX, Some(&mut old))?;
    let done = work();
    set_mask(&old, None)?;
    done
}

fn set_mask(new: &u64, old: Option<&mut u64>) -> io::Result<()> {
    let old = old.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let nr = libc::SYS_rt_sigprocmask;
    // SAFETY: both masks are eight bytes, as the last argument says.
    check(unsafe { libc::syscall(nr, libc::SIG_SETMASK, std::ptr::from_ref(new), old, 8) })
        .map(drop)
}
