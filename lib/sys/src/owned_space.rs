//! A mount namespace that belongs to a user namespace which the caller does not enter.

use crate::{
    Error, Result, check,
    clone::{arguments, clone3, wait_for, without_signals},
    descriptors::made,
};
use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// A copy of the mount namespace of the calling thread, owned by the user namespace `owner`, as a process of that makes it
/// (unshare(2), user_namespaces(7)). `proc` is where a file system of the type proc is mounted for the calling thread.
///
/// # Errors
/// Those of clone3(2), setns(2), unshare(2) and openat(2), the latter of a child without a text of their own.
pub fn owned_mount_namespace(owner: BorrowedFd<'_>, proc: &str) -> Result<OwnedFd> {
    const DOING: &str = "make a mount namespace for a user namespace";
    let fail = |e: io::Error| Error::new(DOING, e);
    let path = format!("{proc}/self/ns/mnt");
    let path = CString::new(path).map_err(|e| fail(e.into()))?;
    let (hear, tell) = io::pipe().map_err(fail)?;
    // What the child opens is open here, too. Nobody but us waits for it.
    let mut args = arguments(&[], libc::CLONE_FILES as u64, 0);
    let pid = without_signals(|| {
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
        let pid = unsafe { clone3(&mut args) };
        if pid == 0 {
            open_in(owner.as_raw_fd(), &path, tell.as_raw_fd());
        }
        check(pid)
    });
    wait_for(pid.map_err(fail)? as i32).map_err(fail)?;
    drop(tell);
    let mut fd = [0; 8];
    let told = File::from(OwnedFd::from(hear)).read_exact(&mut fd);
    let failed = |_| Error::because(DOING, "its user namespace could not be entered");
    told.map_err(failed)?;
    made(i64::from_ne_bytes(fd)).map_err(fail)
}

/// Makes the namespace, opens it, and tells its number; ends without a word where that fails. It runs behind a fork.
fn open_in(user: RawFd, path: &CStr, tell: RawFd) -> ! {
    // SAFETY: only raw system calls; the kernel reads the path, a copy of our parent's, and eight bytes.
    unsafe {
        if libc::syscall(libc::SYS_setns, user, libc::CLONE_NEWUSER) == 0
            && libc::syscall(libc::SYS_unshare, libc::CLONE_NEWNS) == 0
        {
            let flags = libc::O_RDONLY | libc::O_CLOEXEC;
            let open = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0);
            if open >= 0 {
                libc::syscall(libc::SYS_write, tell, std::ptr::from_ref(&open), 8);
            }
        }
        loop {
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
}
