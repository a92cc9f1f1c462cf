//! What belongs to the world outside of the tree: taken from restore's own descriptors.

use super::Maker;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;

/// What takes the place of an outside file where it has this number: by `--inherit`, by number for standard
/// output and error; standard input carried the stream, so it is empty. `None` for other numbers.
pub(super) fn by_number(make: &Maker, number: u32) -> Result<Option<OwnedFd>> {
    if make.inherit.contains(&number) || [1, 2].contains(&number) {
        let copy = FcntlArg::F_DUPFD_CLOEXEC(3);
        let fd = fcntl(floe_sys::borrowed(number as i32), copy)
            .map_err(|e| Error::new(format!("take over descriptor {number} of restore"), e))?;
        return Ok(Some(floe_sys::owned(fd)));
    }
    if number == 0 {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = open("/dev/null", flags, Mode::empty());
        return fd.map(Some).map_err(|e| Error::new("open /dev/null", e));
    }
    Ok(None)
}

/// What takes its place under all other numbers: the same as under one that is known.
pub(super) fn external(make: &Maker, id: FileId, what: &Bytes) -> Result<OwnedFd> {
    let tables = make.tree.fds.values().flatten();
    let mut numbers: Vec<u32> = tables.filter(|fd| fd.file == id).map(|fd| fd.fd.0).collect();
    // Given ones first, and standard input, which is only read, last.
    numbers.sort_by_key(|number| (!make.inherit.contains(number), *number == 0, *number));
    for &number in &numbers {
        if let Some(fd) = by_number(make, number)? {
            return Ok(fd);
        }
    }
    let number = numbers.first().map_or_else(String::new, ToString::to_string);
    Err(Error::because(
        format!("give it descriptor {number} ({what})"),
        format!("it belongs to the world outside of the tree: run restore with --inherit {number}"),
    ))
}
