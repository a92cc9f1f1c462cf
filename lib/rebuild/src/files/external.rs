//! What belongs to the world outside of the tree: taken from restore's own descriptors.

use super::Maker;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;

/// By `--inherit`, by number for standard output and error; standard input carried the stream, so it is empty.
pub(super) fn external(make: &Maker, id: FileId, what: &Bytes) -> Result<OwnedFd> {
    let tables = make.tree.fds.values().flatten();
    let numbers: Vec<u32> = tables.filter(|fd| fd.file == id).map(|fd| fd.fd.0).collect();
    let given = numbers.iter().find(|number| make.inherit.contains(number));
    let standard = numbers.iter().find(|number| [1, 2].contains(*number));
    if let Some(number) = given.or(standard) {
        let copy = FcntlArg::F_DUPFD_CLOEXEC(3);
        return fcntl(floe_sys::borrowed(*number as i32), copy)
            .map(floe_sys::owned)
            .map_err(|e| Error::new(format!("take over descriptor {number} of restore"), e));
    }
    if numbers.contains(&0) {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        return open("/dev/null", flags, Mode::empty())
            .map_err(|e| Error::new("open /dev/null", e));
    }
    let number = numbers.first().map_or_else(String::new, ToString::to_string);
    Err(Error::because(
        format!("give it descriptor {number} ({what})"),
        format!("it belongs to the world outside of the tree: run restore with --inherit {number}"),
    ))
}
