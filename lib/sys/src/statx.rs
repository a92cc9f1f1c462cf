//! statx(2), for what stat(2) does not tell.

use crate::{Result, check};
use nix::NixPath;
use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
};

/// What stat(2) says of a file, and the mount that it was found on, as mountinfo numbers it. Symbolic links are not followed,
/// and nothing is mounted on the way; an empty path means what `at` leads to. `None` on a kernel before 5.8, which does not tell the mount.
pub fn stat_on_mount(at: BorrowedFd<'_>, path: &[u8]) -> Result<Option<(libc::statx, u64)>> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let flags = if path.is_empty() { flags | libc::AT_EMPTY_PATH } else { flags };
    let mask = libc::STATX_BASIC_STATS | libc::STATX_MNT_ID;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let done = path.with_nix_path(|path| {
        // SAFETY: the path is a string with its end, and the kernel writes a whole `struct statx`.
        check(
            unsafe { libc::statx(at.as_raw_fd(), path.as_ptr(), flags, mask, stat.as_mut_ptr()) }
                .into(),
        )
    });
    let fail = |e| crate::Error::new("look at a path", e);
    done.map_err(|e| fail(e.into()))?.map_err(fail)?;
    // SAFETY: numbers only, all of which were zeroed at first.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.stx_mask & libc::STATX_MNT_ID != 0).then_some((stat, stat.stx_mnt_id)))
}

/// Whether an open file, which may be only a path, is the top of a mount.
pub fn is_mount_root(file: BorrowedFd<'_>) -> Result<bool> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is empty, and the kernel writes a whole `struct statx`.
    let done = check(i64::from(unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_BASIC_STATS,
            stat.as_mut_ptr(),
        )
    }));
    done.map_err(|e| crate::Error::new("look at a mount", e))?;
    // SAFETY: numbers only, all of which were zeroed at first.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsFd, os::unix::fs::MetadataExt};

    #[test]
    fn tops_of_mounts_are_known() {
        assert!(is_mount_root(File::open("/proc").unwrap().as_fd()).unwrap());
        assert!(!is_mount_root(File::open("/proc/self/").unwrap().as_fd()).unwrap());
    }

    #[test]
    fn it_says_what_stat_says() {
        let root = File::open("/").unwrap();
        let (stat, mount) = stat_on_mount(root.as_fd(), b"proc/self/stat").unwrap().unwrap();
        let same = std::fs::symlink_metadata("/proc/self/stat").unwrap();
        let dev = libc::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        assert_eq!((dev, u32::from(stat.stx_mode)), (same.dev(), same.mode()));
        let (_, other) = stat_on_mount(root.as_fd(), b".").unwrap().unwrap();
        assert_ne!(mount, other);
        let missing = stat_on_mount(root.as_fd(), b"no such file").unwrap_err();
        assert_eq!(missing.errno(), Some(libc::ENOENT));
    }
}
