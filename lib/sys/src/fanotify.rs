//! fanotify(7).

use crate::{Result, check, descriptors::made};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// A new group, with flags of its own and for the files that it opens. Most need CAP_SYS_ADMIN.
pub fn fanotify(flags: u32, event_flags: u32) -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    made(unsafe { libc::fanotify_init(flags, event_flags) } as i64)
        .map_err(|e| crate::Error::new("make a fanotify group", e))
}

/// Adds to a mark.
pub fn fanotify_mark(fd: BorrowedFd<'_>, flags: u32, mask: u64, path: &CStr) -> io::Result<()> {
    // SAFETY: `path` ends with a zero and is only read.
    check(i64::from(unsafe {
        libc::fanotify_mark(fd.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
    }))
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_group_is_made_and_marks_files() {
        // Without privileges, from 5.13 on.
        let Ok(group) = fanotify(libc::FAN_REPORT_FID | libc::FAN_CLOEXEC, 0) else { return };
        let mark = |mask| fanotify_mark(group.as_fd(), libc::FAN_MARK_ADD, mask, c"/dev/shm");
        mark(libc::FAN_CREATE).unwrap();
        assert!(mark(0).is_err());
        assert!(fanotify(u32::MAX, 0).is_err());
    }
}
