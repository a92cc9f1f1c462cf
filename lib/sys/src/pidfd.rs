//! Handles of processes and descriptors through them.

use crate::{Error, Result, check, descriptors::made, socket::network_cookie};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, signal::Signal},
};
use std::{
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// PIDFD_GET_INFO of linux/pidfd.h: `_IOWR(0xff, 11, struct pidfd_info)` with the first form of that struct.
const GET_INFO: u64 = 3 << 30 | (INFO as u64) << 16 | 0xff << 8 | 11;
/// Bytes of it: a mask and a cgroup id of 64 bits, then 12 numbers of 32 bits, of which the last is the wait status.
const INFO: usize = 64;
/// Bits of the mask.
const INFO_EXIT: u64 = 1 << 3;

/// A handle of the process `pid`.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    open(pid, 0)
}

/// A handle of the thread `tid` (PIDFD_THREAD, Linux 6.9).
pub fn pidfd_open_thread(tid: i32) -> Result<OwnedFd> {
    open(tid, libc::O_EXCL)
}

fn open(pid: i32, flags: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
        .map_err(|e| Error::new("open a handle of it", e).pid(pid as u32))
}

/// The wait status of the process or thread behind `pidfd`, which has ended and been waited for (PIDFD_GET_INFO). `None` where
/// the kernel keeps it no longer, as those before 6.15 do.
pub fn pidfd_exit_status(pidfd: BorrowedFd<'_>) -> Result<Option<u32>> {
    let mut info = [0u64; INFO / 8];
    info[0] = INFO_EXIT;
    // SAFETY: the kernel writes no more bytes than the request says.
    let done =
        check(unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, info.as_mut_ptr()) }.into());
    match done {
        Ok(_) => Ok((info[0] & INFO_EXIT != 0).then_some((info[INFO / 8 - 1] >> 32) as u32)),
        // It does not know the request, or nothing of the process.
        Err(e)
            if [libc::ENOTTY, libc::EINVAL, libc::ESRCH].map(Some).contains(&e.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(e) => Err(Error::new("read how a process has ended", e)),
    }
}

/// A duplicate of the descriptor `fd` of the process behind `pidfd`.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
        .map_err(|e| Error::new(format!("take a duplicate of its descriptor {fd}"), e))
}

/// Sends a signal to the process behind `pidfd`; 0 only asks whether it is there.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let nr = libc::SYS_pidfd_send_signal;
    // SAFETY: no siginfo is given, so the kernel reads no memory of ours.
    check(unsafe { libc::syscall(nr, pidfd.as_raw_fd(), signal, 0usize, 0) })
        .map_err(|e| Error::new(format!("send signal {signal}"), e))
        .map(drop)
}

/// Has the calling process be killed when its parent ends, which is the process behind `parent`. False where that has ended already.
///
/// # Errors
/// Those of poll(2).
pub fn end_with_parent(parent: BorrowedFd<'_>) -> Result<bool> {
    let fail = |e: nix::Error| Error::new("end with the parent", e);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(fail)?;
    let mut ended = [PollFd::new(parent, PollFlags::POLLIN)];
    Ok(poll(&mut ended, PollTimeout::ZERO).map_err(fail)? == 0)
}

/// Has the program that `command` starts get SIGTERM when the thread that starts it ends, however that ends.
pub fn end_with_starter(command: &mut Command) {
    let starter = nix::unistd::getpid();
    let bind = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        match nix::unistd::getppid() == starter {
            true => Ok(()),
            // It has ended in between.
            false => Err(nix::Error::ESRCH.into()),
        }
    };
    // SAFETY: between fork(2) and execve(2) it makes two system calls, takes no lock and no memory.
    unsafe { command.pre_exec(bind) };
}

/// ioctl_ns(2) with a request that gives a descriptor.
fn namespace_ioctl(namespace: BorrowedFd<'_>, request: u64, doing: &str) -> Result<OwnedFd> {
    // SAFETY: the request takes no argument and gives a new descriptor.
    made(unsafe { libc::ioctl(namespace.as_raw_fd(), request as _) }.into())
        .map_err(|e| Error::new(doing, e))
}

/// The user namespace that owns a namespace (NS_GET_USERNS). EPERM where it lies outside of ours.
pub fn namespace_owner(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace_ioctl(namespace, 0xb701, "find the owner of a namespace")
}

/// The user that has made a user namespace (NS_GET_OWNER_UID), as it is called in ours.
pub fn namespace_owner_uid(namespace: BorrowedFd<'_>) -> Result<u32> {
    let mut uid = 0u32;
    // SAFETY: the kernel writes one number of four bytes.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), 0xb704, &mut uid) }.into())
        .map_err(|e| Error::new("find the user that has made a namespace", e))?;
    Ok(uid)
}

/// The parent of a pid or user namespace (NS_GET_PARENT). EPERM where it lies outside of ours.
pub fn namespace_parent(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace_ioctl(namespace, 0xb702, "find the parent of a namespace")
}

/// The number of a namespace that is given once in the life of a system, where the kernel tells it: NS_GET_ID of linux/nsfs.h (Linux 6.18), of
/// mount namespaces NS_GET_MNTNS_ID (6.11), of the network namespace that we are in (`own_network`) SO_NETNS_COOKIE. The inode numbers of
/// namespaces are given again.
pub fn namespace_cookie(namespace: BorrowedFd<'_>, own_network: bool) -> Option<u64> {
    const GET_ID: libc::c_ulong = 0x8008_b70d;
    const GET_MOUNT_ID: libc::c_ulong = 0x8008_b705;
    let told = [GET_ID, GET_MOUNT_ID].into_iter().find_map(|request| {
        let mut id = 0u64;
        // SAFETY: both requests write one u64.
        let done = unsafe { libc::ioctl(namespace.as_raw_fd(), request, &mut id) };
        (done == 0).then_some(id)
    });
    told.or_else(|| own_network.then(|| network_cookie().ok()).flatten())
}

/// The network namespace that a socket is in (SIOCGSKNS of linux/sockios.h). EPERM without CAP_NET_ADMIN in it.
pub fn network_namespace(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace_ioctl(socket, 0x894c, "find the network namespace of a socket")
}
