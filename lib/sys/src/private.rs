//! Memory that comes from the kernel and goes back to it.

use crate::{Error, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::{
    ffi::c_void,
    num::NonZeroUsize,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// Private anonymous memory, aligned to pages and zero at first. Dropped it is unmapped, so its pages are never written
/// to again; memory of the allocator may be, while a pipe still refers to it (vmsplice(2)).
#[derive(Debug)]
pub struct PrivateMemory {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and no thread has a part in it that others have not.
unsafe impl Send for PrivateMemory {}

impl PrivateMemory {
    /// Maps `len` bytes, rounded up to pages by the kernel.
    ///
    /// # Errors
    /// Those of mmap(2); EINVAL for no bytes.
    pub fn new(len: usize) -> Result<Self> {
        let fail = |e: nix::Error| Error::new("map memory", e);
        let size = NonZeroUsize::new(len).ok_or_else(|| fail(nix::Error::EINVAL))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: without MAP_FIXED it takes addresses that nothing else has.
        let start = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_PRIVATE) };
        start.map(|start| Self { start, len }).map_err(fail)
    }
}

impl Deref for PrivateMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, initialized by the kernel, and lives as long as this value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for PrivateMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and `&mut self` excludes any other reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for PrivateMemory {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and no reference outlives this value.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zero_and_can_be_written() {
        let mut memory = PrivateMemory::new(5000).unwrap();
        assert_eq!(memory.as_ptr().align_offset(4096), 0);
        assert!(memory.len() == 5000 && memory.iter().all(|byte| *byte == 0));
        memory[4999] = 7;
        assert_eq!(memory[4999], 7);
        assert!(PrivateMemory::new(0).is_err());
    }
}
