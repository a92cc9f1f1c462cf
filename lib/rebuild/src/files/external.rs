//! What belongs to the world outside of the tree: taken from restore's own descriptors.

use super::{Maker, named, terminal};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;

/// What takes the place of an outside file where it has this number: by `--inherit`, by number for standard
/// output and error; standard input carried the stream, so in the place of a terminal comes that of our standard output
/// or error, and nothing else. `None` for other numbers.
pub(super) fn by_number(make: &Maker, id: FileId, number: u32) -> Result<Option<OwnedFd>> {
    let take = |number: u32| floe_sys::duplicate_inherited(number as i32).map(Some);
    if make.inherit.contains(&number) || [1, 2].contains(&number) {
        return take(number);
    }
    if number == 0 {
        if let Some(ours) = terminal::ours().filter(|_| is_terminal(make, id)) {
            return take(ours);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = open("/dev/null", flags, Mode::empty());
        return fd.map(Some).map_err(|e| Error::new("open /dev/null", e));
    }
    Ok(None)
}

fn is_terminal(make: &Maker, id: FileId) -> bool {
    make.tree.terminals.iter().any(|terminal| terminal.file == id)
}

/// What takes its place under all other numbers: the same as under one that is known. A terminal that was opened for
/// itself is ours, opened for itself.
pub(super) fn external(make: &Maker, file: &OpenFile, what: &Bytes) -> Result<OwnedFd> {
    let id = file.id;
    let tables = make.tree.fds.values().flatten();
    let mut numbers: Vec<u32> = tables.filter(|fd| fd.file == id).map(|fd| fd.fd.0).collect();
    // Given ones first, and standard input, which is only read, last.
    numbers.sort_by_key(|number| (!make.inherit.contains(number), *number == 0, *number));
    for &number in &numbers {
        if let Some(fd) = by_number(make, id, number)? {
            return Ok(fd);
        }
    }
    if let Some(ours) = terminal::ours().filter(|_| is_terminal(make, id)) {
        return terminal::again(ours, named::flags(file));
    }
    let number = numbers.first().map_or_else(String::new, ToString::to_string);
    Err(Error::because(
        format!("give it descriptor {number} ({what})"),
        format!("it belongs to the world outside of the tree: run restore with --inherit {number}"),
    ))
}
