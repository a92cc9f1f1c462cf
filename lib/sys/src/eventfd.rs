//! What an eventfd does not show on older kernels.

use crate::{
    Error, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, arguments, clone3, wait_for, without_signals},
    watcher::leave_group,
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

/// Answers of the child.
const ONE: u32 = 1;
const ALL: u32 = 2;

/// Whether a read of an eventfd whose counter is `count` takes one off (EFD_SEMAPHORE). Something is added, taken, and the counter
/// put back: by a child, which ends this also if we are killed meanwhile. Nobody else may look at the counter.
///
/// # Errors
/// Where the counter is full, or nobody may read it without waiting.
pub fn counts_down(fd: BorrowedFd<'_>, count: u64) -> Result<bool> {
    let fail = |e: io::Error| Error::new("find out how an eventfd counts", e);
    if count >= u64::MAX - 2 {
        return Err(fail(io::ErrorKind::StorageFull.into()));
    }
    let fd = fd.as_raw_fd();
    // Without a signal at its end, nobody but us waits for it.
    let mut args = arguments(&[], CLONE_CLEAR_SIGHAND, 0);
    let pid = without_signals(|| {
        // SAFETY: the child has a copy of our memory and stack, and calls nothing but the kernel.
        let pid = unsafe { clone3(&mut args) };
        if pid == 0 {
            answer(fd, count);
        }
        check(pid)
    });
    let status = pid.and_then(|pid| wait_for(pid as i32)).map_err(fail)?;
    match status >> 8 {
        ONE => Ok(true),
        ALL => Ok(false),
        _ => Err(fail(io::ErrorKind::InvalidData.into())),
    }
}

/// The child.
fn answer(fd: RawFd, count: u64) -> ! {
    let extra: u64 = if count == 0 { 2 } else { 1 };
    leave_group();
    // SAFETY: numbers, and locals of eight bytes each.
    unsafe {
        let add = |n: u64| libc::write(fd, std::ptr::from_ref(&n).cast(), 8) == 8;
        let take = || {
            let mut taken = 0u64;
            let len = libc::read(fd, std::ptr::from_mut(&mut taken).cast(), 8);
            if len == 8 { taken } else { 0 }
        };
        let kind = match (add(extra), take()) {
            (false, _) | (_, 0) => 0,
            // The rest of what was added to nothing.
            (_, 1) if extra == 2 => take() as u32 * ONE,
            (_, 1) => ONE,
            _ if count == 0 || add(count) => ALL,
            _ => 0,
        };
        libc::_exit(kind as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use std::os::fd::AsFd;

    #[test]
    fn the_kind_is_found_out_and_nothing_changes() {
        for count in [0, 1, 2, 77, 1 << 40] {
            for flag in [EfdFlags::empty(), EfdFlags::EFD_SEMAPHORE] {
                let fd = EventFd::from_flags(flag | EfdFlags::EFD_NONBLOCK).unwrap();
                fd.write(count).unwrap();
                let semaphore = flag == EfdFlags::EFD_SEMAPHORE;
                assert_eq!(counts_down(fd.as_fd(), count).unwrap(), semaphore);
                if count > 0 {
                    assert_eq!(fd.read().unwrap(), if semaphore { 1 } else { count });
                }
                let left = if semaphore && count > 1 { Ok(1) } else { Err(nix::Error::EAGAIN) };
                assert_eq!(fd.read(), left);
            }
        }
    }

    #[test]
    fn a_full_counter_is_left_alone() {
        let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        fd.write(u64::MAX - 1).unwrap();
        assert!(counts_down(fd.as_fd(), u64::MAX - 1).is_err());
        assert_eq!(fd.read().unwrap(), u64::MAX - 1);
    }
}
