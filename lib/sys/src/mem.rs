//! Memory of another process: `process_vm_readv` and `process_vm_writev`, else `/proc/PID/mem`.

use crate::{Error, Result, check};
use std::{fs::OpenOptions, io, os::unix::fs::FileExt};

/// Reads from `addr` on with one call; gives the bytes that were read, which may be fewer than asked for.
pub fn read_memory_partial(pid: i32, addr: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: addr as *mut _, iov_len: into.len() };
    // SAFETY: the local vector is the exclusively borrowed slice; the remote one is another process's.
    let n = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    check(n as i64).map(|n| n as usize)
}

/// Fills all of `into` from the memory of `pid` at `addr`. ESRCH when the process is gone.
pub fn read_memory(pid: i32, addr: u64, into: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < into.len() {
        match read_memory_partial(pid, addr + done as u64, &mut into[done..]) {
            Ok(n) if n > 0 => done += n,
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                return Err(fail(pid, "read", addr, into.len(), e));
            }
            _ => {
                // Through /proc/PID/mem, memory without read permission can be read as well.
                return OpenOptions::new()
                    .read(true)
                    .open(format!("/proc/{pid}/mem"))
                    .and_then(|f| f.read_exact_at(&mut into[done..], addr + done as u64))
                    .map_err(|e| fail(pid, "read", addr, into.len(), e));
            }
        }
    }
    Ok(())
}

/// Writes all of `from` to the memory of `pid` at `addr`. ESRCH when the process is gone, EPERM for our
/// own, whose memory belongs to other values.
pub fn write_memory(pid: i32, addr: u64, from: &[u8]) -> Result<()> {
    if pid as u32 == std::process::id() {
        let cause = io::Error::from_raw_os_error(libc::EPERM);
        return Err(fail(pid, "write", addr, from.len(), cause));
    }
    let mut done = 0;
    while done < from.len() {
        let rest = &from[done..];
        let local = libc::iovec { iov_base: rest.as_ptr() as *mut _, iov_len: rest.len() };
        let remote = libc::iovec { iov_base: (addr + done as u64) as *mut _, iov_len: rest.len() };
        // SAFETY: the kernel only reads the local vector; the remote one is another process's.
        match check(unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) } as i64) {
            Ok(n) if n > 0 => done += n as usize,
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                return Err(fail(pid, "write", addr, from.len(), e));
            }
            _ => {
                // Through /proc/PID/mem, memory without write permission can be written as well.
                return OpenOptions::new()
                    .write(true)
                    .open(format!("/proc/{pid}/mem"))
                    .and_then(|f| f.write_all_at(rest, addr + done as u64))
                    .map_err(|e| fail(pid, "write", addr, from.len(), e));
            }
        }
    }
    Ok(())
}

fn fail(pid: i32, verb: &str, addr: u64, len: usize, cause: io::Error) -> Error {
    Error::new(format!("{verb} {len} bytes of memory at {addr:#x}"), cause).pid(pid as u32)
}
