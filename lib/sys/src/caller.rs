//! Calls made by somebody else: what SO_PEERCRED and SO_PEERGROUPS of unix(7) tell, and who has made an object of System V IPC, is
//! who has made the call.

use crate::{
    Error, NewIpc, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, arguments, clone3, wait_for, without_signals},
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Who makes a call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Caller {
    /// Number of its process; where that is taken, or 0, another one.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// listen(2).
    Listen(BorrowedFd<'a>, u32),
    /// connect(2) to an address as [`socket_name`](crate::socket_name) gives it.
    Connect(BorrowedFd<'a>, &'a [u8]),
    /// socketpair(2) of UNIX sockets of a type, which take the place of these two descriptors; close-on-exec.
    Pair(i32, [BorrowedFd<'a>; 2]),
    /// semget(2) of a new set of as many, which must have its identifier.
    Semaphores(&'a NewIpc, usize),
    /// msgget(2) of a new queue, which must have its identifier.
    Messages(&'a NewIpc),
}

/// Has a child of ours that is this caller make a call. It has all capabilities that we have.
///
/// # Errors
/// Those of the call, and EPERM where we may not be that user.
pub fn call_as(caller: &Caller, call: Call<'_>) -> Result<()> {
    let set_tid = [caller.pid as i32];
    let wanted = if caller.pid == 0 { &[][..] } else { &set_tid };
    match once(caller, call, wanted) {
        // The number is taken, or is none of this namespace, or we may not choose one.
        Err(e) if !wanted.is_empty() && CANNOT_HAVE.contains(&e.errno().unwrap_or(0)) => {
            once(caller, call, &[])
        }
        done => done,
    }
}

const CANNOT_HAVE: [i32; 3] = [libc::EEXIST, libc::EINVAL, libc::EPERM];

fn once(caller: &Caller, call: Call<'_>, set_tid: &[i32]) -> Result<()> {
    let fail = |e| Error::new("make a call as another user", e);
    // The table is shared: what the child opens is ours.
    let mut args = arguments(set_tid, CLONE_CLEAR_SIGHAND | libc::CLONE_FILES as u64, 0);
    let pid = without_signals(|| {
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack, and it calls nothing but the kernel.
        let pid = unsafe { clone3(&mut args) };
        if pid == 0 {
            let status = become_and_call(caller, call);
            loop {
                // SAFETY: a number only.
                unsafe { libc::syscall(libc::SYS_exit_group, status) };
            }
        }
        check(pid)
    });
    let pid = pid.map_err(fail)?;
    // By wait(2): an exit code, which is an error number, and no signal.
    match wait_for(pid as i32).map_err(fail)? {
        0 => Ok(()),
        status if status & 0x7f == 0 => {
            Err(fail(std::io::Error::from_raw_os_error((status >> 8 & 0xff) as i32)))
        }
        _ => Err(Error::because("make a call as another user", "the child was killed")),
    }
}

/// In the child: nothing is allocated here. Gives an error number.
fn become_and_call(caller: &Caller, call: Call<'_>) -> i32 {
    const SECBIT_NO_SETUID_FIXUP: i32 = 1 << 2;
    let (uid, gid) = (caller.uid, caller.gid);
    // SAFETY: numbers, and a list of groups that outlives the call. The raw calls change this one thread, which is all there is.
    let became = unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0
            && libc::syscall(libc::SYS_setgroups, caller.groups.len(), caller.groups.as_ptr()) == 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
            // A change of credentials clears it: a call that waits must not outlive us.
            && libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
    };
    if !became {
        return error();
    }
    let done = match call {
        // SAFETY: numbers only.
        Call::Listen(fd, backlog) => unsafe {
            libc::syscall(libc::SYS_listen, fd.as_raw_fd(), backlog.min(i32::MAX as u32))
        },
        // SAFETY: the kernel reads as many bytes as the address has.
        Call::Connect(fd, to) => unsafe {
            libc::syscall(libc::SYS_connect, fd.as_raw_fd(), to.as_ptr(), to.len())
        },
        Call::Pair(kind, at) => pair(kind, at.map(|fd| fd.as_raw_fd())),
        // SAFETY: numbers only.
        Call::Semaphores(new, count) => unsafe {
            let made = libc::syscall(libc::SYS_semget, new.key, count, NEW | new.mode as i32);
            with_id(made, new.id, || libc::syscall(libc::SYS_semctl, made, 0, libc::IPC_RMID))
        },
        // SAFETY: numbers only.
        Call::Messages(new) => unsafe {
            let made = libc::syscall(libc::SYS_msgget, new.key, NEW | new.mode as i32);
            with_id(made, new.id, || libc::syscall(libc::SYS_msgctl, made, libc::IPC_RMID, 0))
        },
    };
    if done < 0 { error() } else { 0 }
}

const NEW: i32 = libc::IPC_CREAT | libc::IPC_EXCL;

/// What was made, or an error where its identifier is another one: that is taken.
fn with_id(made: i64, id: u32, remove: impl FnOnce() -> i64) -> i64 {
    if made >= 0 && made != i64::from(id) {
        remove();
        // SAFETY: the errno of this thread.
        unsafe { *libc::__errno_location() = libc::EEXIST };
        return -1;
    }
    made
}

/// A pair under two numbers that are ours.
fn pair(kind: i32, at: [i32; 2]) -> i64 {
    let mut made = [-1i32; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two numbers to `made`.
    let done =
        unsafe { libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, made.as_mut_ptr()) };
    if done < 0 {
        return done;
    }
    for (from, to) in made.into_iter().zip(at) {
        // SAFETY: the caller owns `to`, and `from` was just made.
        let done = unsafe { libc::syscall(libc::SYS_dup3, from, to, libc::O_CLOEXEC) };
        // SAFETY: nobody else knows it.
        unsafe { libc::syscall(libc::SYS_close, from) };
        if done < 0 {
            return done;
        }
    }
    0
}

fn error() -> i32 {
    // SAFETY: the errno of this thread.
    unsafe { *libc::__errno_location() }
}
