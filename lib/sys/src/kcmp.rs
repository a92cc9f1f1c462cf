//! kcmp(2): whether two processes share a kernel object.

use crate::{Error, Result, check};
use std::cmp::Ordering;

/// Objects that a process has one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The address space.
    Vm = 1,
    /// The descriptor table.
    Files = 2,
    /// Root, working directory and umask.
    Fs = 3,
    /// Signal actions.
    Sighand = 4,
    /// The I/O context.
    Io = 5,
    /// System V semaphore undo list.
    SysvSem = 6,
}

const KCMP_FILE: i32 = 0;
const KCMP_EPOLL_TFD: i32 = 7;

fn kcmp(pids: [i32; 2], kind: i32, a: u64, b: u64) -> Result<Ordering> {
    // SAFETY: for all kinds but EPOLL_TFD numbers only; there `b` is the address of a live slot.
    let order = check(unsafe { libc::syscall(libc::SYS_kcmp, pids[0], pids[1], kind, a, b) })
        .map_err(|e| Error::new(format!("compare it with {}", pids[1]), e).pid(pids[0] as u32))?;
    Ok(match order {
        0 => Ordering::Equal,
        1 => Ordering::Less,
        _ => Ordering::Greater,
    })
}

/// Compares two open file descriptions; the order is stable, so it can be used to sort.
pub fn kcmp_file(pid1: i32, fd1: i32, pid2: i32, fd2: i32) -> Result<Ordering> {
    kcmp([pid1, pid2], KCMP_FILE, fd1 as u64, fd2 as u64)
}

/// Compares an object of two tasks.
pub fn kcmp_shared(pid1: i32, pid2: i32, what: Shared) -> Result<Ordering> {
    kcmp([pid1, pid2], what as i32, 0, 0)
}

/// Whether `fd` of `pid` is the file that the epoll instance `efd` of `epoll_pid` watches as descriptor `tfd`; `nth`
/// counts the watches with that number.
pub fn kcmp_epoll(pid: i32, fd: i32, epoll_pid: i32, efd: i32, tfd: i32, nth: u32) -> Result<bool> {
    let slot = [efd as u32, tfd as u32, nth];
    let order = kcmp([pid, epoll_pid], KCMP_EPOLL_TFD, fd as u64, slot.as_ptr() as u64)?;
    Ok(order == Ordering::Equal)
}
