//! The mount calls that work on descriptors (fsopen(2), open_tree(2), move_mount(2)).

use crate::{Error, Result, check, descriptors::made};
use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const MOVE_MOUNT_SET_GROUP: u32 = 0x100;
const FSPICK_CLOEXEC: u32 = 1;
const FSPICK_EMPTY_PATH: u32 = 8;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;

/// Text for the kernel; EINVAL where it has a NUL in it.
fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A file system of this type that is being set up. [`mount_message`] reads how the kernel explains a failure of the
/// calls on it.
pub fn fsopen(fs_type: &[u8]) -> Result<OwnedFd> {
    let fail = |e| Error::new(format!("open the file system type {}", shown(fs_type)), e);
    let name = text(fs_type).map_err(fail)?;
    // SAFETY: the name ends with NUL.
    made(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) }).map_err(fail)
}

fn fsconfig(
    fs: BorrowedFd<'_>,
    command: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> io::Result<()> {
    let (key, value) = (key.map(text).transpose()?, value.map(text).transpose()?);
    let at = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    let (nr, fs) = (libc::SYS_fsconfig, fs.as_raw_fd());
    // SAFETY: key and value end with NUL or are null, which the kernel checks against the command.
    check(unsafe { libc::syscall(nr, fs, command, at(&key), at(&value), 0) }).map(drop)
}

/// Sets an option that has a value.
pub fn fsconfig_set_string(fs: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_STRING, Some(key), Some(value))
        .map_err(|e| Error::new(format!("set the mount option {}={}", shown(key), shown(value)), e))
}

/// Sets an option that has none.
pub fn fsconfig_set_flag(fs: BorrowedFd<'_>, key: &[u8]) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_FLAG, Some(key), None)
        .map_err(|e| Error::new(format!("set the mount option {}", shown(key)), e))
}

/// Creates the super block of what was set up.
pub fn fsconfig_create(fs: BorrowedFd<'_>) -> Result<()> {
    fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
        .map_err(|e| Error::new("create the file system", e))
}

/// The next message of the kernel about a failed fsconfig(2), `None` when there is no other.
pub fn mount_message(fs: BorrowedFd<'_>) -> Result<Option<String>> {
    let mut text = [0; 4096];
    match nix::unistd::read(fs, &mut text) {
        // Messages begin with their class: `e overlay: ...`.
        Ok(len) => Ok(Some(String::from_utf8_lossy(&text[..len]).trim().to_owned())),
        Err(nix::Error::ENODATA) => Ok(None),
        Err(e) => Err(Error::new("read why the mount has failed", e)),
    }
}

/// A detached mount of what was created; `attributes` are MOUNT_ATTR_*.
pub fn fsmount(fs: BorrowedFd<'_>, attributes: u32) -> Result<OwnedFd> {
    let (nr, fs) = (libc::SYS_fsmount, fs.as_raw_fd());
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(nr, fs, FSMOUNT_CLOEXEC, attributes) })
        .map_err(|e| Error::new("mount the file system", e))
}

/// A detached copy of what is mounted at a path, or of a part of it, without the mounts below it.
pub fn clone_mount(path: &Path) -> Result<OwnedFd> {
    let fail = |e| Error::new(format!("clone the mount {}", path.display()), e);
    let name = text(path.as_os_str().as_bytes()).map_err(fail)?;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    // SAFETY: the path ends with NUL.
    made(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) })
        .map_err(fail)
}

/// Attaches a detached mount at a path.
pub fn attach_mount(mount: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let fail = |e| Error::new(format!("mount at {}", path.display()), e);
    let to = text(path.as_os_str().as_bytes()).map_err(fail)?;
    let (nr, mount) = (libc::SYS_move_mount, mount.as_raw_fd());
    let (from, flags) = (c"".as_ptr(), MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths end with NUL.
    check(unsafe { libc::syscall(nr, mount, from, libc::AT_FDCWD, to.as_ptr(), flags) })
        .map_err(fail)
        .map(drop)
}

/// A detached copy of the mount that a path-only descriptor leads to, from there on, without the mounts below it.
pub fn clone_tree(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    let (nr, place) = (libc::SYS_open_tree, place.as_raw_fd());
    // SAFETY: the path is empty and ends with NUL.
    made(unsafe { libc::syscall(nr, place, c"".as_ptr(), flags) })
        .map_err(|e| Error::new("clone a mount", e))
}

fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    let (nr, from, to) = (libc::SYS_move_mount, from.as_raw_fd(), to.as_raw_fd());
    let flags = flags | MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are empty and end with NUL.
    check(unsafe { libc::syscall(nr, from, c"".as_ptr(), to, c"".as_ptr(), flags) }).map(drop)
}

/// Attaches a detached mount at what a path-only descriptor leads to.
pub fn attach_tree(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    move_mount(mount, place, 0).map_err(|e| Error::new("attach a mount", e))
}

/// Puts a mount, which must be private, into the peer group of another one of the same file system, and below the same master.
pub fn join_group(of: BorrowedFd<'_>, mount: BorrowedFd<'_>) -> Result<()> {
    move_mount(of, mount, MOVE_MOUNT_SET_GROUP)
        .map_err(|e| Error::new("put a mount into a peer group", e))
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets and clears attributes of a mount (MOUNT_ATTR_*), and sets its propagation (MS_PRIVATE and others; 0 for none).
pub fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
) -> Result<()> {
    let attr = MountAttr { set, clear, propagation, user_namespace: 0 };
    let (nr, fd, size) = (libc::SYS_mount_setattr, mount.as_raw_fd(), size_of::<MountAttr>());
    // SAFETY: the path is empty and ends with NUL, and the kernel reads a whole `struct mount_attr`.
    check(unsafe {
        libc::syscall(nr, fd, c"".as_ptr(), libc::AT_EMPTY_PATH, &raw const attr, size)
    })
    .map(drop)
    .map_err(|e| Error::new("set the attributes of a mount", e))
}

/// Makes the file system of a mount read-only.
pub fn make_read_only(mount: BorrowedFd<'_>) -> Result<()> {
    let fail = |e| Error::new("make a file system read-only", e);
    let (nr, fd, flags) = (libc::SYS_fspick, mount.as_raw_fd(), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    // SAFETY: the path is empty and ends with NUL.
    let fs = made(unsafe { libc::syscall(nr, fd, c"".as_ptr(), flags) }).map_err(fail)?;
    fsconfig_set_flag(fs.as_fd(), b"ro")?;
    fsconfig(fs.as_fd(), FSCONFIG_CMD_RECONFIGURE, None, None).map_err(fail)
}
