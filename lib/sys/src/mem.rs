//! Memory of another process: `process_vm_readv` and `process_vm_writev` with vectors, else `/proc/PID/mem`.

use crate::{Error, Result, check};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
};

/// Most ranges of one call (IOV_MAX).
const VECTORS: usize = 1024;

/// Reads what is readable of `into` from `addr` on in one go; the count may be short.
pub fn read_memory_partial(pid: i32, addr: u64, into: &mut [u8]) -> io::Result<usize> {
    readv(pid, &[vector(addr, into.len())], into)
}

/// Reads ranges (address, bytes) one behind the other, in one call; at most 1024 of them. The count is short where
/// something cannot be read: what stands behind it has not been tried.
pub fn read_memory_ranges_partial(
    pid: i32,
    ranges: &[(u64, u32)],
    into: &mut [u8],
) -> io::Result<usize> {
    readv(pid, &vectors(ranges), into)
}

/// Fills all of `into` from the memory of `pid` at `addr`. ESRCH when the process is gone.
pub fn read_memory(pid: i32, addr: u64, into: &mut [u8]) -> Result<()> {
    transfer(pid, vec![vector(addr, into.len())], Local::Read(into))
}

/// Fills `into` from ranges (address, bytes) of the memory of `pid`, one behind the other. Their lengths must add up to
/// that of `into`.
pub fn read_memory_ranges(pid: i32, ranges: &[(u64, u32)], into: &mut [u8]) -> Result<()> {
    transfer(pid, vectors(ranges), Local::Read(into))
}

/// Writes all of `from` to the memory of `pid` at `addr`. ESRCH when the process is gone, EPERM for our
/// own, whose memory belongs to other values.
pub fn write_memory(pid: i32, addr: u64, from: &[u8]) -> Result<()> {
    transfer(pid, vec![vector(addr, from.len())], Local::Write(from))
}

/// Writes all of `from` to ranges (address, bytes) of the memory of `pid`, one behind the other. Their lengths must add up
/// to that of `from`.
pub fn write_memory_ranges(pid: i32, ranges: &[(u64, u32)], from: &[u8]) -> Result<()> {
    transfer(pid, vectors(ranges), Local::Write(from))
}

/// Our side of a transfer, one behind the other.
enum Local<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

impl Local<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Read(into) => into.len(),
            Self::Write(from) => from.len(),
        }
    }

    fn verb(&self) -> &'static str {
        if matches!(self, Self::Read(_)) { "read" } else { "write" }
    }

    /// Moves what can be moved in one call, from `at` of the buffer on.
    fn by_vectors(&mut self, pid: i32, remote: &[libc::iovec], at: usize) -> io::Result<usize> {
        match self {
            Self::Read(into) => readv(pid, remote, &mut into[at..]),
            Self::Write(from) => writev(pid, remote, &from[at..]),
        }
    }

    /// Moves a whole range. Memory that is mapped without the permission needs this way.
    fn by_file(&mut self, mem: &File, remote: libc::iovec, at: usize) -> io::Result<usize> {
        let (addr, len) = (remote.iov_base as u64, remote.iov_len);
        match self {
            Self::Read(into) => mem.read_exact_at(&mut into[at..at + len], addr)?,
            Self::Write(from) => mem.write_all_at(&from[at..at + len], addr)?,
        }
        Ok(len)
    }

    /// /proc/PID/mem. A read-only /proc is enough to read.
    fn open(&self, pid: i32) -> io::Result<File> {
        let read = matches!(self, Self::Read(_));
        OpenOptions::new().read(read).write(!read).open(format!("/proc/{pid}/mem"))
    }
}

/// Moves all of the ranges.
fn transfer(pid: i32, mut remote: Vec<libc::iovec>, mut local: Local<'_>) -> Result<()> {
    let verb = local.verb();
    if remote.iter().map(|range| range.iov_len).sum::<usize>() != local.len() {
        let why = "its ranges have another length than the buffer";
        return Err(Error::because(format!("{verb} memory"), why).pid(pid as u32));
    }
    let (mut done, mut next, mut mem) = (0, 0, None);
    while next < remote.len() {
        let some = &remote[next..remote.len().min(next + VECTORS)];
        let moved = match local.by_vectors(pid, some, done) {
            Ok(moved) if moved > 0 => moved,
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => continue,
            Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EPERM)) => {
                return Err(Error::new(format!("{verb} memory of it"), e).pid(pid as u32));
            }
            _ => {
                let fail = |e| {
                    let (addr, len) = (some[0].iov_base, some[0].iov_len);
                    Error::new(format!("{verb} {len} bytes of memory at {addr:p}"), e)
                };
                let file = match mem.take() {
                    None => local.open(pid),
                    Some(file) => Ok(file),
                };
                let moved = file.and_then(|file| local.by_file(mem.insert(file), some[0], done));
                moved.map_err(|e| fail(e).pid(pid as u32))?
            }
        };
        done += moved;
        next = skip(&mut remote, next, moved);
    }
    Ok(())
}

/// Takes this many bytes off the front of the ranges from `next` on; gives the first that has something left.
fn skip(remote: &mut [libc::iovec], mut next: usize, mut moved: usize) -> usize {
    while let Some(range) = remote.get_mut(next) {
        if moved < range.iov_len {
            range.iov_base = range.iov_base.wrapping_byte_add(moved);
            range.iov_len -= moved;
            break;
        }
        moved -= range.iov_len;
        next += 1;
    }
    next
}

fn vector(addr: u64, len: usize) -> libc::iovec {
    libc::iovec { iov_base: addr as *mut _, iov_len: len }
}

fn vectors(ranges: &[(u64, u32)]) -> Vec<libc::iovec> {
    ranges.iter().map(|(addr, len)| vector(*addr, *len as usize)).collect()
}

fn readv(pid: i32, remote: &[libc::iovec], into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let count = remote.len() as libc::c_ulong;
    // SAFETY: the local vector is the exclusively borrowed slice; the remote ones are another process's.
    let n = unsafe { libc::process_vm_readv(pid, &local, 1, remote.as_ptr(), count, 0) };
    check(n as i64).map(|n| n as usize)
}

fn writev(pid: i32, remote: &[libc::iovec], from: &[u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: from.as_ptr() as *mut _, iov_len: from.len() };
    let count = remote.len() as libc::c_ulong;
    // Our own memory belongs to other values.
    if pid as u32 == std::process::id() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: the kernel only reads the local vector; the remote ones are another process's.
    let n = unsafe { libc::process_vm_writev(pid, &local, 1, remote.as_ptr(), count, 0) };
    check(n as i64).map(|n| n as usize)
}
