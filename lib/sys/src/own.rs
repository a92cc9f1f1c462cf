//! Numbers of descriptors as typed values.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

/// Takes a descriptor that a system call has just made.
pub fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "a made descriptor is not negative");
    // SAFETY: the caller has just got the number from the kernel and nobody else closes it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor that the caller of the program left open for its whole life.
pub fn borrowed(fd: i32) -> BorrowedFd<'static> {
    assert!(fd >= 0, "a given descriptor is not negative");
    // SAFETY: inherited descriptors are never closed; a number that is not open only fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
