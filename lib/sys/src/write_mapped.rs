//! Content of files that write(2) does not work on, such as those of hugetlbfs.

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Writes `bytes` at `offset` of a file through a shared mapping of it; `page` is the size of its pages, a power of two. The file
/// must be as long as that.
///
/// # Errors
/// ENOMEM where no page is left for it, and those of mmap(2).
pub fn write_mapped(file: BorrowedFd<'_>, page: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    let first = offset & !(page - 1);
    let len = (offset + bytes.len() as u64 - first).next_multiple_of(page) as usize;
    let fail = |e| Error::new("write through a mapping", e);
    let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    let none = std::ptr::null_mut();
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(none, len, prot, libc::MAP_SHARED, fd, first as i64) };
    if at == libc::MAP_FAILED {
        return Err(fail(io::Error::last_os_error()));
    }
    let copied = copy(bytes, at.wrapping_byte_add((offset - first) as usize));
    // SAFETY: the mapping was made above and no reference to it exists.
    let unmapped = check(unsafe { libc::munmap(at, len) }.into());
    copied.and(unmapped.map(drop)).map_err(fail)
}

/// Has the kernel copy, which tells of a page that cannot be had where a copy of our own would die of it (SIGBUS). Of the two sides
/// the one that is called the other process's is only read.
fn copy(mut from: &[u8], mut to: *mut libc::c_void) -> io::Result<()> {
    let own = std::process::id() as i32;
    while !from.is_empty() {
        let local = libc::iovec { iov_base: to, iov_len: from.len() };
        let remote = libc::iovec { iov_base: from.as_ptr() as *mut _, iov_len: from.len() };
        // SAFETY: `to` lies in a mapping of that length that nobody has a reference to, and `from` is read.
        let done = unsafe { libc::process_vm_readv(own, &local, 1, &remote, 1, 0) };
        match check(done as i64) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::ENOMEM)),
            Ok(done) => {
                from = &from[done as usize..];
                to = to.wrapping_byte_add(done as usize);
            }
            Err(e) if e.raw_os_error() == Some(libc::EFAULT) => {
                return Err(io::Error::from_raw_os_error(libc::ENOMEM));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsFd, os::unix::fs::FileExt};

    #[test]
    fn what_is_written_is_there() {
        let file = File::from(crate::memfd_create(c"written", 0).unwrap());
        file.set_len(3 * 4096).unwrap();
        let bytes: Vec<u8> = (0..6000).map(|n| n as u8 | 1).collect();
        write_mapped(file.as_fd(), 4096, 5000, &bytes).unwrap();
        let mut all = vec![0; 3 * 4096];
        file.read_exact_at(&mut all, 0).unwrap();
        assert!(all[..5000].iter().chain(&all[11_000..]).all(|byte| *byte == 0));
        assert_eq!(&all[5000..11_000], &bytes[..]);
    }

    #[test]
    fn behind_the_end_is_an_error_and_no_signal() {
        let file = File::from(crate::memfd_create(c"short", 0).unwrap());
        file.set_len(4096).unwrap();
        let done = write_mapped(file.as_fd(), 4096, 0, &vec![1; 3 * 4096]);
        assert_eq!(done.unwrap_err().errno(), Some(libc::ENOMEM));
    }
}
