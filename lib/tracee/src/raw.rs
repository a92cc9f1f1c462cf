//! The ptrace calls themselves.

use floe_sys::{Error, Result};
use std::{ffi::c_void, io};

pub const PTRACE_SEIZE: u32 = 0x4206;
pub const PTRACE_INTERRUPT: u32 = 0x4207;
pub const PTRACE_PEEKSIGINFO: u32 = 0x4209;
pub const PTRACE_GETSIGMASK: u32 = 0x420a;
pub const PTRACE_SETSIGMASK: u32 = 0x420b;
pub const PTRACE_GET_RSEQ_CONFIGURATION: u32 = 0x420f;

/// A request whose address and data are plain numbers: nothing of ours is touched by the kernel.
pub fn number(request: u32, tid: i32, addr: u64, data: u64) -> io::Result<i64> {
    // SAFETY: callers use this only for requests that take numbers, never pointers.
    result(unsafe { libc::ptrace(request as _, tid, addr as *mut c_void, data as *mut c_void) })
}

/// A request that reads or fills `data`.
pub fn with<T>(request: u32, tid: i32, addr: u64, data: &mut T) -> io::Result<i64> {
    let data = std::ptr::from_mut(data).cast::<c_void>();
    // SAFETY: `data` is exclusively borrowed and of the size that `request` with `addr` says.
    result(unsafe { libc::ptrace(request as _, tid, addr as *mut c_void, data) })
}

/// Reads or writes a register set through an iovec; gives the length the kernel used.
pub fn regset(request: u32, tid: i32, set: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut io = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    with(request, tid, set, &mut io)?;
    Ok(io.iov_len)
}

/// Copies up to `out.len()` queued signals from position `skip` on; gives how many there were.
pub fn peek_signals(tid: i32, shared: bool, skip: u64, out: &mut [[u8; 128]]) -> io::Result<usize> {
    let mut args =
        libc::ptrace_peeksiginfo_args { off: skip, flags: u32::from(shared), nr: out.len() as i32 };
    let args = std::ptr::from_mut(&mut args).cast::<c_void>();
    let out = out.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel reads `args` and writes at most `nr` siginfo (128 bytes each) to `out`.
    let n = result(unsafe { libc::ptrace(PTRACE_PEEKSIGINFO as _, tid, args, out) })?;
    Ok(n as usize)
}

fn result(value: i64) -> io::Result<i64> {
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Waits for a change of `tid`; `None` when `block` is false and nothing happened yet.
pub fn wait(tid: i32, block: bool) -> Result<Option<i32>> {
    let mut status = 0;
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` is a live local.
        match unsafe { libc::waitpid(tid, &mut status, flags) } {
            0 => return Ok(None),
            -1 => {
                let e = io::Error::last_os_error();
                if e.raw_os_error() != Some(libc::EINTR) {
                    return Err(Error::new("wait for the thread to stop", e).pid(tid as u32));
                }
            }
            _ => return Ok(Some(status)),
        }
    }
}
