//! The ptrace requests, each with the type of its data.

use crate::RseqConfig;
use floe_sys::{Error, Result};
use std::{ffi::c_void, io, ptr};
use zerocopy::IntoBytes;

const PTRACE_SEIZE: u32 = 0x4206;
const PTRACE_INTERRUPT: u32 = 0x4207;
const PTRACE_PEEKSIGINFO: u32 = 0x4209;
const PTRACE_GETSIGMASK: u32 = 0x420a;
const PTRACE_SETSIGMASK: u32 = 0x420b;
const PTRACE_GET_RSEQ_CONFIGURATION: u32 = 0x420f;
const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
const PTRACE_SECCOMP_GET_METADATA: u32 = 0x420d;
/// BPF_MAXINSNS.
pub const MAX_INSTRUCTIONS: usize = 4096;
const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;

/// Requests that take numbers alone.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// With PTRACE_O_* options.
    Seize(i32),
    Interrupt,
    /// With a signal to deliver, or 0.
    Continue(i32),
    /// The same, up to the next entry or exit of a system call.
    ContinueToSyscall(i32),
    /// PTRACE_O_*.
    SetOptions(i32),
    Detach,
}

/// The register sets of x86-64.
#[derive(Debug, Clone, Copy)]
pub enum RegisterSet {
    /// `struct user_regs_struct`.
    General,
    /// Extended state in XSAVE format.
    Extended,
}

/// Gives a command to a thread.
pub fn command(tid: i32, command: Command) -> io::Result<()> {
    let (request, data) = match command {
        Command::Seize(options) => (PTRACE_SEIZE, options),
        Command::Interrupt => (PTRACE_INTERRUPT, 0),
        Command::Continue(signal) => (libc::PTRACE_CONT, signal),
        Command::ContinueToSyscall(signal) => (libc::PTRACE_SYSCALL, signal),
        Command::SetOptions(options) => (libc::PTRACE_SETOPTIONS, options),
        Command::Detach => (libc::PTRACE_DETACH, 0),
    };
    // SAFETY: the data of these requests is a number.
    unsafe { ptrace(request, tid, 0, ptr::without_provenance_mut(data as usize)) }.map(drop)
}

/// Reads a register set; gives its length, at most that of `into`.
pub fn get_registers(tid: i32, set: RegisterSet, into: &mut [u8]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: the kernel writes at most `iov_len` bytes to the borrowed slice, and the length to the local `part`.
    unsafe { ptrace(libc::PTRACE_GETREGSET, tid, set.number(), (&raw mut part).cast()) }?;
    Ok(part.iov_len)
}

/// Sets a register set.
pub fn set_registers(tid: i32, set: RegisterSet, from: &[u8]) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    // SAFETY: the kernel reads at most `iov_len` bytes of the slice, and writes only to the local `part`.
    unsafe { ptrace(libc::PTRACE_SETREGSET, tid, set.number(), (&raw mut part).cast()) }.map(drop)
}

/// Kills the process of a tracee. Until that has been waited for, its id is that of no other one.
pub fn kill(pid: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    match unsafe { libc::kill(pid, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The blocked signals.
pub fn signal_mask(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    // SAFETY: the kernel writes the eight bytes that the address argument says.
    unsafe { ptrace(PTRACE_GETSIGMASK, tid, size_of::<u64>(), (&raw mut mask).cast()) }?;
    Ok(mask)
}

/// Sets the blocked signals.
pub fn set_signal_mask(tid: i32, mut mask: u64) -> io::Result<()> {
    // SAFETY: the kernel reads the eight bytes that the address argument says.
    unsafe { ptrace(PTRACE_SETSIGMASK, tid, size_of::<u64>(), (&raw mut mask).cast()) }.map(drop)
}

/// The message of the last event stop.
pub fn event_message(tid: i32) -> io::Result<u64> {
    let mut message = 0u64;
    // SAFETY: the kernel writes an unsigned long.
    unsafe { ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, (&raw mut message).cast()) }?;
    Ok(message)
}

/// Where restartable sequences are registered; address 0 for none.
pub fn rseq_configuration(tid: i32) -> io::Result<RseqConfig> {
    let mut config = RseqConfig::default();
    let size = size_of::<RseqConfig>();
    // SAFETY: the kernel writes at most `size` bytes to the live local.
    unsafe { ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, size, (&raw mut config).cast()) }?;
    Ok(config)
}

/// One filter of a thread (seccomp(2)), from the oldest on: the number of its instructions, and these, of eight bytes each, in
/// `into`, which must have room for all of them if it is there.
pub fn seccomp_filter(
    tid: i32,
    at: usize,
    into: Option<&mut [[u8; 8]; MAX_INSTRUCTIONS]>,
) -> io::Result<usize> {
    let data = into.map_or(ptr::null_mut(), |into| into.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most BPF_MAXINSNS instructions, for which there is room.
    let count = unsafe { ptrace(PTRACE_SECCOMP_GET_FILTER, tid, at, data) }?;
    Ok(count as usize)
}

/// SECCOMP_FILTER_FLAG_* of a filter.
pub fn seccomp_flags(tid: i32, at: usize) -> io::Result<u64> {
    // `struct seccomp_metadata`.
    let mut about = [at as u64, 0];
    let size = size_of_val(&about);
    // SAFETY: the kernel reads and writes at most `size` bytes of the live local.
    unsafe { ptrace(PTRACE_SECCOMP_GET_METADATA, tid, size, (&raw mut about).cast()) }?;
    Ok(about[1])
}

/// Copies queued signals from position `skip` on; gives how many there were.
pub fn peek_signals(tid: i32, shared: bool, skip: u64, out: &mut [[u8; 128]]) -> io::Result<usize> {
    let nr = i32::try_from(out.len()).unwrap_or(i32::MAX);
    let mut args = libc::ptrace_peeksiginfo_args { off: skip, flags: u32::from(shared), nr };
    let out = out.as_mut_bytes().as_mut_ptr().cast();
    // The arguments travel in the place of an address.
    let at = (&raw mut args).expose_provenance();
    // SAFETY: the kernel reads the live `args` and writes at most `nr` siginfo (128 bytes each) to the borrowed slice.
    let count = unsafe { ptrace(PTRACE_PEEKSIGINFO, tid, at, out) }?;
    Ok(count as usize)
}

impl RegisterSet {
    fn number(self) -> usize {
        match self {
            Self::General => NT_PRSTATUS,
            Self::Extended => NT_X86_XSTATE,
        }
    }
}

/// # Safety
/// `address` and `data` must be what ptrace(2) says of the request: numbers, or pointers to live memory that it may
/// read and write.
unsafe fn ptrace(request: u32, tid: i32, address: usize, data: *mut c_void) -> io::Result<i64> {
    let address = ptr::with_exposed_provenance_mut::<c_void>(address);
    // SAFETY: promised by the caller.
    match unsafe { libc::ptrace(request as _, tid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// Waits for a change of state of a tracee; `None` when `block` is false and nothing has happened yet. One that has
/// been waited for by somebody else gives ESRCH.
pub fn wait(tid: i32, block: bool) -> Result<Option<i32>> {
    let mut status = 0;
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` is a live local.
        let cause = match unsafe { libc::waitpid(tid, &mut status, flags) } {
            0 => return Ok(None),
            -1 => io::Error::last_os_error(),
            _ => return Ok(Some(status)),
        };
        let cause = match cause.raw_os_error() {
            Some(libc::EINTR) => continue,
            Some(libc::ECHILD) => io::Error::from_raw_os_error(libc::ESRCH),
            _ => cause,
        };
        return Err(Error::new("wait for the thread to stop", cause).pid(tid as u32));
    }
}
