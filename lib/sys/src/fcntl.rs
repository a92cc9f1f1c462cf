//! Open files: owners, pipes, locks, leases, seals.

use crate::{Error, Result, check, descriptors::made};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

fn number(fd: BorrowedFd<'_>, command: i32, value: u64, doing: &str) -> Result<i32> {
    // SAFETY: only for commands whose argument is a number.
    let r = check(unsafe { libc::fcntl(fd.as_raw_fd(), command, value) } as i64);
    r.map(|n| n as i32).map_err(|e| Error::new(doing, e))
}

/// Receiver of SIGIO: type (0 thread, 1 process, 2 process group) and id, which is 0 for none.
pub fn owner_ex(fd: BorrowedFd<'_>) -> Result<(i32, i32)> {
    let mut owner = [0i32; 2];
    // SAFETY: struct f_owner_ex is two ints.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, owner.as_mut_ptr()) } as i64)
        .map_err(|e| Error::new("read the owner of a descriptor", e))?;
    Ok((owner[0], owner[1]))
}

/// Real and effective user of who named the receiver of SIGIO; `None` of a kernel without CONFIG_CHECKPOINT_RESTORE.
pub fn owner_uids(fd: BorrowedFd<'_>) -> Result<Option<[u32; 2]>> {
    let mut uids = [0u32; 2];
    // SAFETY: the kernel writes two ints.
    match check(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWNER_UIDS, uids.as_mut_ptr()) } as i64) {
        Ok(_) => Ok(Some(uids)),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        Err(e) => Err(Error::new("read the users of the owner of a descriptor", e)),
    }
}

/// The signal sent instead of SIGIO, 0 for SIGIO.
pub fn owner_signal(fd: BorrowedFd<'_>) -> Result<i32> {
    number(fd, F_GETSIG, 0, "read the signal of a descriptor")
}

/// The capacity of a pipe.
pub fn pipe_size(fd: BorrowedFd<'_>) -> Result<usize> {
    number(fd, libc::F_GETPIPE_SZ, 0, "read the size of a pipe").map(|n| n as usize)
}

/// Unread bytes in a pipe or socket (FIONREAD).
pub fn pipe_queued(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut queued = 0i32;
    // SAFETY: FIONREAD writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut queued) } as i64)?;
    Ok(queued as usize)
}

/// Bytes that a socket has not sent yet, with what the kernel keeps beside them (SIOCOUTQ).
pub fn unsent(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut unsent = 0i32;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &mut unsent) } as i64)?;
    Ok(unsent as usize)
}

/// The branches of the AUFS mount that the file `fd` is on, 4096 bytes for each (ioctl AUFS_CTL_BRINFO,
/// `linux/aufs_type.h`).
pub fn aufs_branch_info(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    const BRINFO: u64 = 1 << 30 | 4096 << 16 | (b'A' as u64) << 8 | 5;
    const WORDS: usize = 4096 / 8;
    // The call does not pass a size: the buffer holds the most branches that AUFS allows (32767). Pages that the
    // kernel does not write to are never allocated.
    const ROOM: usize = 1 << 15;
    let count = || {
        let none = std::ptr::null_mut::<u8>();
        // SAFETY: with no address it only counts the branches.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), BRINFO as _, none) } as i64)
    };
    let before = count()? as usize;
    let mut text = vec![0u64; ROOM * WORDS];
    // SAFETY: aligned, and with room for as many branches as there can be.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), BRINFO as _, text.as_mut_ptr()) } as i64)?;
    if count()? as usize != before || before > ROOM {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    Ok(text[..before * WORDS].iter().flat_map(|word| word.to_ne_bytes()).collect())
}

/// Sets the capacity of a pipe; the kernel rounds up.
pub fn set_pipe_size(fd: BorrowedFd<'_>, size: usize) -> Result<usize> {
    number(fd, libc::F_SETPIPE_SZ, size as u64, "set the size of a pipe").map(|n| n as usize)
}

/// Seals of a memfd.
pub fn seals(fd: BorrowedFd<'_>) -> Result<i32> {
    number(fd, libc::F_GET_SEALS, 0, "read the seals of a memfd")
}

/// flock: LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB if wanted.
pub fn flock(fd: BorrowedFd<'_>, operation: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::flock(fd.as_raw_fd(), operation) } as i64).map(drop)
}

/// Whether a lease (F_SETLEASE: F_RDLCK or F_WRLCK) would be had on a file just opened: it is taken and given up at once.
///
/// # Errors
/// EAGAIN where the file is open elsewhere in a way that a lease excludes.
pub fn lease_would_be_had(fd: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    let set = |command: i32, value: i32| {
        // SAFETY: commands whose argument is a number.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), command, value) }.into())
    };
    // Who opens the file in between makes the kernel send us a signal: one that is ignored by default. F_UNLCK takes it off
    // again, and us as the owner.
    set(F_SETSIG, libc::SIGURG)?;
    let taken = set(libc::F_SETLEASE, kind);
    let given_up = if taken.is_ok() { set(libc::F_SETLEASE, libc::F_UNLCK) } else { Ok(0) };
    set(F_SETSIG, 0)?;
    taken.and(given_up).map(drop)
}

/// Copies unread bytes from one pipe to another and leaves them there; does not block (tee(2)).
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_NONBLOCK;
    // SAFETY: numbers only.
    let n = unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), len, flags) };
    check(n as i64).map(|n| n as usize)
}

/// Puts the pages of `bytes` into a pipe without a copy (vmsplice(2)); gives the number of bytes. Until they have been
/// read, the reader sees later writes to them.
pub fn vmsplice(pipe: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the kernel only reads the memory, and keeps the pages themselves, not the addresses.
    let n = unsafe { libc::vmsplice(pipe.as_raw_fd(), &part, 1, 0) };
    check(n as i64).map(|n| n as usize)
}

/// memfd_secret(2), close-on-exec.
///
/// # Errors
/// ENOSYS where the kernel has none (secretmem.enable).
pub fn memfd_secret() -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) })
        .map_err(|e| Error::new("make a memfd_secret", e))
}

/// A nameless file in memory, close-on-exec; `flags` are MFD_*.
pub fn memfd_create(name: &CStr, flags: u32) -> Result<OwnedFd> {
    // SAFETY: the name ends with NUL.
    made(unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_CLOEXEC) } as i64)
        .map_err(|e| Error::new("make a file in memory", e))
}

/// Starts to write a range to the disk and does not wait for it (sync_file_range(2)).
pub fn start_writeback(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let (offset, len) = (offset as i64, len as i64);
    // SAFETY: numbers only.
    let done =
        unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
    check(done as i64).map(drop)
}

/// flock(LOCK_SH).
pub fn flock_shared(fd: BorrowedFd<'_>) -> io::Result<()> {
    flock(fd, libc::LOCK_SH)
}
