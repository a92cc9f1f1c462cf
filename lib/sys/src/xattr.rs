//! Extended attributes of open files (xattr(7)).

use crate::{Error, Result, check};
use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Name, without its NUL, and value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// All extended attributes that we may read; none where the file system has no such thing.
pub fn attributes(fd: BorrowedFd<'_>) -> Result<Vec<Attribute>> {
    let fail = |e| Error::new("read extended attributes", e);
    let names = match names(fd) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        names => names.map_err(fail)?,
    };
    let mut all = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match value(fd, name) {
            Ok(value) => all.push((name.to_vec(), value)),
            // Removed meanwhile, or of a class that is not for reading.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(all)
}

/// The same of a file of any type, which is open as a path only: by its link in /proc.
pub fn attributes_of_path(fd: BorrowedFd<'_>) -> Result<Vec<Attribute>> {
    let fail = |e| Error::new("read extended attributes", e);
    let path = link(fd).map_err(fail)?;
    let names = match names_at(&path) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        names => names.map_err(fail)?,
    };
    let mut all = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match value_at(&path, name) {
            Ok(value) => all.push((name.to_vec(), value)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(all)
}

/// Sets an extended attribute of a file of any type, which is open as a path only.
pub fn set_attribute_of_path(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<()> {
    let fail = |e| {
        let name = String::from_utf8_lossy(name);
        Error::new(format!("set the extended attribute {name}"), e)
    };
    let path = link(fd).map_err(fail)?;
    let text = CString::new(name).map_err(|_| fail(io::ErrorKind::InvalidInput.into()))?;
    let (path, name, at, len) = (path.as_ptr(), text.as_ptr(), value.as_ptr().cast(), value.len());
    // SAFETY: path and name end with NUL, and the kernel reads `len` bytes of `value`.
    check(unsafe { libc::setxattr(path, name, at, len, 0) }.into()).map(drop).map_err(fail)
}

fn link(fd: BorrowedFd<'_>) -> io::Result<CString> {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn names_at(path: &CString) -> io::Result<Vec<u8>> {
    // SAFETY: the path ends with NUL; without room only the length is given.
    let len = check(unsafe { libc::listxattr(path.as_ptr(), ptr::null_mut(), 0) } as i64)?;
    let mut names = vec![0u8; len as usize];
    let (at, room) = (names.as_mut_ptr().cast(), names.len());
    // SAFETY: the path ends with NUL, and the kernel writes at most the length of the exclusively borrowed `names`.
    let len = check(unsafe { libc::listxattr(path.as_ptr(), at, room) } as i64)?;
    names.truncate(len as usize);
    Ok(names)
}

fn value_at(path: &CString, name: &[u8]) -> io::Result<Vec<u8>> {
    let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (path, name) = (path.as_ptr(), name.as_ptr());
    // SAFETY: path and name end with NUL; without room only the length is given.
    let len = check(unsafe { libc::getxattr(path, name, ptr::null_mut(), 0) } as i64)?;
    let mut value = vec![0u8; len as usize];
    let at = value.as_mut_ptr().cast();
    // SAFETY: path and name end with NUL, and the kernel writes at most the length of the exclusively borrowed `value`.
    let len = check(unsafe { libc::getxattr(path, name, at, value.len()) } as i64)?;
    value.truncate(len as usize);
    Ok(value)
}

/// Sets an extended attribute (fsetxattr(2)).
pub fn set_attribute(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<()> {
    let fail = |e| {
        let name = String::from_utf8_lossy(name);
        Error::new(format!("set the extended attribute {name}"), e)
    };
    let text = CString::new(name).map_err(|_| fail(io::ErrorKind::InvalidInput.into()))?;
    let (at, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: the name ends with NUL, and the kernel reads `len` bytes of `value`.
    check(unsafe { libc::fsetxattr(fd.as_raw_fd(), text.as_ptr(), at, len, 0) }.into())
        .map(drop)
        .map_err(fail)
}

fn names(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // SAFETY: without room only the length is given.
    let len = check(unsafe { libc::flistxattr(fd.as_raw_fd(), ptr::null_mut(), 0) } as i64)?;
    let mut names = vec![0u8; len as usize];
    let at = names.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most the length of the exclusively borrowed `names`.
    let len = check(unsafe { libc::flistxattr(fd.as_raw_fd(), at, names.len()) } as i64)?;
    names.truncate(len as usize);
    Ok(names)
}

fn value(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (fd, name) = (fd.as_raw_fd(), name.as_ptr());
    // SAFETY: the name ends with NUL; without room only the length is given.
    let len = check(unsafe { libc::fgetxattr(fd, name, ptr::null_mut(), 0) } as i64)?;
    let mut value = vec![0u8; len as usize];
    let at = value.as_mut_ptr().cast();
    // SAFETY: the name ends with NUL, and the kernel writes at most the length of the exclusively borrowed `value`.
    let len = check(unsafe { libc::fgetxattr(fd, name, at, value.len()) } as i64)?;
    value.truncate(len as usize);
    Ok(value)
}
