//! Starting children with chosen pids.

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{IntoRawFd, OwnedFd},
};

pub(crate) const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

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
    let mut args = arguments(set_tid, flags | CLONE_CLEAR_SIGHAND, exit_signal);
    let new_namespace = flags & libc::CLONE_NEWPID as u64 != 0;
    let parent = if new_namespace { 0 } else { i64::from(std::process::id()) };
    let pid = without_signals(|| {
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
        let pid = unsafe { clone3(&mut args) };
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
    pid.map(|pid| pid as i32).map_err(|e| unable(set_tid, e))
}

/// As [`spawn_stub`], but the child is one of our parent (CLONE_PARENT), and tells it of its end as we do of ours. The death of that
/// parent means nothing to it, but that of the process behind the handle `of` does: it waits for that.
pub fn spawn_sibling(set_tid: &[i32], flags: u64, of: OwnedFd) -> Result<i32> {
    // It may have our table of descriptors, so the number stays taken for as long as we live.
    let own = of.into_raw_fd();
    // The exit signal is that of our own process, and must be 0 here.
    let flags = flags | libc::CLONE_PARENT as u64 | CLONE_CLEAR_SIGHAND;
    let mut args = arguments(set_tid, flags, 0);
    let pid = without_signals(|| {
        let mut polled = libc::pollfd { fd: own, events: libc::POLLIN, revents: 0 };
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
        let pid = unsafe { clone3(&mut args) };
        if pid == 0 {
            loop {
                // SAFETY: raw system calls, and one structure of ours that the kernel writes to.
                unsafe {
                    let none = std::ptr::null::<libc::timespec>();
                    let at = std::ptr::from_mut(&mut polled);
                    if libc::syscall(libc::SYS_ppoll, at, 1, none, none, 8) == 1 {
                        libc::syscall(libc::SYS_exit_group, 0);
                    }
                }
            }
        }
        check(pid)
    });
    pid.map(|pid| pid as i32).map_err(|e| unable(set_tid, e))
}

/// As [`fork`], but the copy is a child of our parent.
pub fn fork_sibling(flags: u64) -> Result<Option<i32>> {
    fork_as(arguments(&[], flags | libc::CLONE_PARENT as u64, 0), &[])
}

/// Goes on as two processes: gives the pid of the copy, and in the copy `None`. `set_tid` and `flags` are as for
/// [`spawn_stub`].
///
/// # Errors
/// Also where this process has other threads: what they hold would be held for ever in the copy.
pub fn fork(set_tid: &[i32], flags: u64) -> Result<Option<i32>> {
    fork_as(arguments(set_tid, flags, libc::SIGCHLD), set_tid)
}

/// Whether the calling thread is the only one. One that has been waited for may be there for a moment still, and its id be
/// taken: that is waited for, at most a second.
///
/// # Errors
/// Where /proc cannot be read.
pub fn is_alone() -> io::Result<bool> {
    for _ in 0..1000 {
        if std::fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(true);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(false)
}

fn fork_as(mut args: libc::clone_args, set_tid: &[i32]) -> Result<Option<i32>> {
    let fail = |e: io::Error| unable(set_tid, e);
    if !is_alone().map_err(fail)? {
        return Err(Error::because(start(set_tid), "there is more than one thread"));
    }
    let shared = (libc::CLONE_VM | libc::CLONE_THREAD) as u64;
    assert_eq!(args.flags & shared, 0, "it has its own memory");
    let pid = without_signals(|| {
        // SAFETY: without CLONE_VM the copy has its own memory and stack, and no thread is missing in it.
        check(unsafe { clone3(&mut args) })
    });
    pid.map(|pid| (pid != 0).then_some(pid as i32)).map_err(fail)
}

/// clone3(2): 0 in the child.
///
/// # Safety
/// The child must have its own memory (no CLONE_VM), and where we have other threads it calls nothing but the kernel, as behind
/// fork(2). What `args` point to must be there.
pub(crate) unsafe fn clone3(args: &mut libc::clone_args) -> i64 {
    let (at, size) = (std::ptr::from_mut(args), size_of::<libc::clone_args>());
    // SAFETY: the kernel reads `size` bytes; for the rest see above.
    unsafe { libc::syscall(libc::SYS_clone3, at, size) }
}

/// The returned value points to `set_tid`.
pub(crate) fn arguments(set_tid: &[i32], flags: u64, exit_signal: i32) -> libc::clone_args {
    // SAFETY: an all-zero clone_args is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.exit_signal = exit_signal as u64;
    if !set_tid.is_empty() {
        args.set_tid = set_tid.as_ptr() as u64;
        args.set_tid_size = set_tid.len() as u64;
    }
    args
}

fn unable(set_tid: &[i32], e: io::Error) -> Error {
    match e.raw_os_error() {
        Some(libc::EEXIST) => {
            let problem = "it is taken, or that of a session or process group with members";
            Error::because(start(set_tid), problem)
        }
        _ => Error::new(start(set_tid), e),
    }
}

fn start(set_tid: &[i32]) -> String {
    match set_tid.first() {
        Some(pid) => format!("start a process with pid {pid}"),
        None => "start a process".to_owned(),
    }
}

/// Waits for a child, whatever its exit signal; gives its status.
pub(crate) fn wait_for(pid: i32) -> io::Result<u32> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one int.
        match check(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) }.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(|_| status as u32),
        }
    }
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
