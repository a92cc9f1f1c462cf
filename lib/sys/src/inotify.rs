//! inotify(7), and files by their handles.

use crate::{Error, Result, check, descriptors::made};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// A new inotify instance that never waits.
pub fn inotify() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    made(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) } as i64)
        .map_err(|e| Error::new("make an inotify instance", e))
}

/// Watches a file; gives the number of the watch.
pub fn inotify_add_watch(fd: BorrowedFd<'_>, path: &CStr, mask: u32) -> io::Result<i32> {
    // SAFETY: `path` ends with a zero and is only read.
    let added = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), mask) };
    Ok(check(added.into())? as i32)
}

/// Removes a watch.
pub fn inotify_rm_watch(fd: BorrowedFd<'_>, wd: i32) -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::inotify_rm_watch(fd.as_raw_fd(), wd) }.into()).map(drop)
}

/// INOTIFY_IOC_SETNEXTWD of include/uapi/linux/inotify.h.
const SET_NEXT: u64 = 0x4004_4900;

/// Sets the number that the next watch gets, or the first free one behind it; 1 to `i32::MAX`. ENOTTY on a kernel without
/// CONFIG_CHECKPOINT_RESTORE.
pub fn inotify_set_next(fd: BorrowedFd<'_>, wd: i32) -> io::Result<()> {
    // SAFETY: the argument is the number itself.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), SET_NEXT as _, i64::from(wd)) }.into()).map(drop)
}

/// Longest file handle, bytes (MAX_HANDLE_SZ of include/linux/exportfs.h).
const HANDLE: usize = 128;

/// `struct file_handle` of open_by_handle_at(2), with room for the longest one.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; HANDLE],
}

/// Type and bytes of the handle of an open file, which may be only a path. EOPNOTSUPP where its file system has none.
pub fn handle_of(file: BorrowedFd<'_>) -> io::Result<(i32, Vec<u8>)> {
    let mut all = Handle { bytes: HANDLE as u32, kind: 0, handle: [0; HANDLE] };
    let mut mount = 0;
    // SAFETY: the path is empty; the kernel writes a number, and into `all` at most as many bytes as that says it has.
    check(i64::from(unsafe {
        libc::name_to_handle_at(
            file.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut all).cast(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    }))?;
    let bytes = all.handle.get(..all.bytes as usize).ok_or(io::ErrorKind::InvalidData)?;
    Ok((all.kind, bytes.to_vec()))
}

/// Opens a file as a path only, by its handle on the file system that `mount` lies on. Needs CAP_DAC_READ_SEARCH.
pub fn open_by_handle(mount: BorrowedFd<'_>, kind: i32, handle: &[u8]) -> io::Result<OwnedFd> {
    let mut all = Handle { bytes: handle.len() as u32, kind, handle: [0; HANDLE] };
    let room = all.handle.get_mut(..handle.len()).ok_or(io::ErrorKind::InvalidInput)?;
    room.copy_from_slice(handle);
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the kernel reads `bytes` bytes behind the two numbers, which `Handle` has.
    made(unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw const all, flags)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn watches_are_numbered_one_after_the_other() {
        let all = inotify().unwrap();
        assert_eq!(inotify_add_watch(all.as_fd(), c"/", libc::IN_CREATE).unwrap(), 1);
        inotify_rm_watch(all.as_fd(), 1).unwrap();
        assert!(inotify_rm_watch(all.as_fd(), 1).is_err());
        assert_eq!(inotify_add_watch(all.as_fd(), c"/", libc::IN_CREATE).unwrap(), 2);
        assert!(inotify_add_watch(all.as_fd(), c"/", 0).is_err());
        inotify_set_next(all.as_fd(), i32::MAX).unwrap();
        let last = inotify_add_watch(all.as_fd(), c"/proc", libc::IN_CREATE).unwrap();
        assert_eq!(last, i32::MAX);
        assert!(inotify_set_next(all.as_fd(), 0).is_err());
    }

    #[test]
    fn a_handle_leads_back() {
        let dir = std::fs::File::open("/dev/shm").unwrap();
        let (kind, bytes) = handle_of(dir.as_fd()).unwrap();
        // Which takes a capability.
        if let Ok(again) = open_by_handle(dir.as_fd(), kind, &bytes) {
            let again = std::fs::File::from(again).metadata().unwrap();
            use std::os::unix::fs::MetadataExt;
            assert_eq!(again.ino(), dir.metadata().unwrap().ino());
        }
        let (end, _other) = std::io::pipe().unwrap();
        assert!(handle_of(end.as_fd()).is_err());
    }

    #[test]
    fn a_handle_that_is_too_long_is_refused() {
        let root = std::fs::File::open("/").unwrap();
        let error = open_by_handle(root.as_fd(), 1, &[0; HANDLE + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
