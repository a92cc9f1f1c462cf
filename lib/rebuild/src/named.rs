//! What files that have a name share.

use crate::stand::Stands;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::OFlag,
    sys::stat::SFlag,
    unistd::{Whence, lseek},
};
use std::os::fd::{AsFd, OwnedFd};

/// __O_TMPFILE of include/uapi/asm-generic/fcntl.h: how the file was made, not how it is open.
pub(crate) const TMPFILE: u32 = 0o20_000_000;

/// Flags to open a description again with.
pub(crate) fn flags(file: &OpenFile) -> OFlag {
    let mut bits = file.flags;
    if bits & TMPFILE != 0 {
        bits &= !(TMPFILE | OFlag::O_DIRECTORY.bits() as u32);
    }
    // open(2) notes O_ASYNC and has no signal sent: `with_async` sets it.
    let made = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_TRUNC | OFlag::O_ASYNC;
    OFlag::from_bits_truncate(bits as i32) & !made
}

pub(crate) fn seek(fd: &OwnedFd, file: &OpenFile) -> Result<()> {
    if file.pos != 0 {
        lseek(fd.as_fd(), file.pos as i64, Whence::SeekSet).map_err(|e| Error::new("seek", e))?;
    }
    Ok(())
}

/// Opens a device by its name again, which must have the same number: that is all that it is, for its file is made anew with each
/// start of a system or container.
pub(crate) fn open_device(
    stands: &Stands<'_>,
    file: &OpenFile,
    (name, rdev): (&FileRef, u64),
    kind: SFlag,
) -> Result<OwnedFd> {
    let found = stands.found(file.pid, name, kind)?;
    let now = found.stat.st_rdev;
    if now != rdev {
        let what = format!("it is device {now:#x} now and was {rdev:#x}");
        return Err(Error::because(format!("open {}", name.path), what));
    }
    let fd = stands.open(file.pid, name, &found, flags(file))?;
    seek(&fd, file)?;
    Ok(fd)
}

/// Opens a file by its name again, which must lead to the same one.
pub(crate) fn open_as(
    stands: &Stands<'_>,
    file: &OpenFile,
    name: &FileRef,
    kind: SFlag,
) -> Result<OwnedFd> {
    let found = stands.found(file.pid, name, kind)?;
    stands.same.inode(name, &found)?;
    stands.open(file.pid, name, &found, flags(file))
}
