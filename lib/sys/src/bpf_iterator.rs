//! Iterators of bpf(2): a program runs inside the kernel for each descriptor of a process, and what it writes is read from a file.

use crate::{
    Error, Result,
    bpf::{Attr, bpf},
    check,
    descriptors::made,
};
use std::{
    fs::File,
    ops::Deref,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    slice,
};

const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;
const ITER_CREATE: i32 = 33;
/// BPF_PROG_TYPE_TRACING and BPF_TRACE_ITER.
const TRACING: u32 = 26;
const ITERATOR: u32 = 28;

/// The types of the running kernel (BTF), as it shows them.
#[derive(Debug)]
pub struct KernelTypes {
    start: NonNull<u8>,
    len: usize,
}

impl KernelTypes {
    /// Maps them: reading takes some milliseconds. Kernels before 6.16 do not have them mapped, others have none.
    pub fn map() -> Result<Self> {
        let fail = |e| Error::new("map the types of the kernel", e);
        let file = File::open("/sys/kernel/btf/vmlinux").map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len() as usize;
        let (none, access) = (std::ptr::null_mut(), libc::PROT_READ);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { libc::mmap(none, len, access, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        check(at as i64).map_err(fail)?;
        let nothing = || Error::because("map the types of the kernel", "there are none");
        Ok(Self { start: NonNull::new(at.cast()).ok_or_else(nothing)?, len })
    }
}

impl Deref for KernelTypes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: they are mapped as long as this is, and never change.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for KernelTypes {
    fn drop(&mut self) {
        // SAFETY: nothing of the mapping is borrowed any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Loads a program for the iterator of which `target` is the function in the types of the kernel. Needs CAP_BPF and CAP_PERFMON.
pub fn load_iterator(code: &[u64], target: u32) -> Result<OwnedFd> {
    let mut attr = Attr::new()
        .u32(0, TRACING)
        .u32(4, code.len() as u32)
        .pointer(8, code.as_ptr().cast())
        .pointer(16, c"Dual MIT/GPL".as_ptr().cast())
        .u32(68, ITERATOR)
        .u32(108, target);
    // SAFETY: `code` has as many instructions as it says, of eight bytes each.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }.and_then(made);
    fd.map_err(|e| Error::new("load a program of BPF", e))
}

/// Runs a program for each descriptor of a thread, whenever more is read.
pub fn iterate(program: BorrowedFd<'_>, tid: u32) -> Result<File> {
    let fail = |e| Error::new("start an iterator of BPF", e);
    // `union bpf_iter_link_info`: thread, process, pidfd.
    let of = [tid, 0, 0, 0];
    let mut attr = Attr::new()
        .u32(0, program.as_raw_fd() as u32)
        .u32(8, ITERATOR)
        .pointer(16, of.as_ptr().cast())
        .u32(24, size_of_val(&of) as u32);
    // SAFETY: `of` has the length that is given.
    let link = unsafe { bpf(LINK_CREATE, &mut attr) }.and_then(made).map_err(fail)?;
    // SAFETY: nothing is pointed to.
    let file = unsafe { bpf(ITER_CREATE, &mut Attr::new().u32(0, link.as_raw_fd() as u32)) };
    Ok(File::from(file.and_then(made).map_err(fail)?))
}
