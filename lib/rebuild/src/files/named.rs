//! Files that have a name: regular files, directories, devices, named pipes.

use super::{Maker, reopen};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::OFlag,
    sys::stat::{SFlag, fstat},
    unistd::{Whence, lseek},
};
use std::os::fd::{AsFd, OwnedFd};

/// __O_TMPFILE of include/uapi/asm-generic/fcntl.h: how the file was made, not how it is open.
const TMPFILE: u32 = 0o20_000_000;

/// Flags to open a description again with.
pub(super) fn flags(file: &OpenFile) -> OFlag {
    let mut bits = file.flags;
    if bits & TMPFILE != 0 {
        bits &= !(TMPFILE | OFlag::O_DIRECTORY.bits() as u32);
    }
    OFlag::from_bits_truncate(bits as i32) & !(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_TRUNC)
}

pub(super) fn seek(fd: &OwnedFd, file: &OpenFile) -> Result<()> {
    if file.pos != 0 {
        lseek(fd.as_fd(), file.pos as i64, Whence::SeekSet).map_err(|e| Error::new("seek", e))?;
    }
    Ok(())
}

/// A regular file that is at least as long as it was. (Logs grow; what was cut off is another file.)
pub(super) fn regular(make: &Maker, file: &OpenFile, name: &FileRef, size: u64) -> Result<OwnedFd> {
    let fd = open_as(make, file, name, SFlag::S_IFREG)?;
    let now = fstat(fd.as_fd()).map_err(|e| Error::new(format!("read {}", name.path), e))?.st_size;
    if (now as u64) < size.min(file.pos) {
        let what = format!("it had {size} bytes and has {now} now");
        return Err(Error::because(format!("open {}", name.path), what));
    }
    seek(&fd, file)?;
    Ok(fd)
}

pub(super) fn directory(make: &Maker, file: &OpenFile, name: &FileRef) -> Result<OwnedFd> {
    let fd = open_as(make, file, name, SFlag::S_IFDIR)?;
    seek(&fd, file)?;
    Ok(fd)
}

/// A device; only one with the same number is the same.
pub(super) fn device(make: &Maker, file: &OpenFile, name: &FileRef, rdev: u64) -> Result<OwnedFd> {
    let fd = open_as(make, file, name, SFlag::S_IFCHR)?;
    let now = fstat(fd.as_fd()).map_err(|e| Error::new(format!("read {}", name.path), e))?.st_rdev;
    if now != rdev {
        let what = format!("it is device {now:#x} now and was {rdev:#x}");
        return Err(Error::because(format!("open {}", name.path), what));
    }
    Ok(fd)
}

/// A named pipe, opened for both first: one end alone would wait for the other.
pub(super) fn fifo(make: &mut Maker, file: &OpenFile, name: &FileRef) -> Result<OwnedFd> {
    let pipe = ObjectId { dev: name.dev, ino: name.ino };
    let both = match make.fifos.remove(&pipe) {
        Some(both) => both,
        None => {
            let both = make.path(file, name, OFlag::O_RDWR)?;
            super::pipe::fill(make, pipe, &both)?;
            both
        }
    };
    let fd = reopen(&both, flags(file))?;
    make.fifos.insert(pipe, both);
    Ok(fd)
}

fn open_as(make: &Maker, file: &OpenFile, name: &FileRef, kind: SFlag) -> Result<OwnedFd> {
    let fd = make.path(file, name, flags(file))?;
    let stat = fstat(fd.as_fd()).map_err(|e| Error::new(format!("read {}", name.path), e))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != kind {
        return Err(Error::because(format!("open {}", name.path), "it is of another kind now"));
    }
    Ok(fd)
}
