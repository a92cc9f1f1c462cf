//! Masters of pseudo terminals.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{FileId, ObjectId, Pid, PtyMaster};
use floe_sys::{Error, TerminalNumber, open_slave, terminal_number};
use nix::sys::stat::{FileStat, fstat, makedev};
use std::{io, os::fd::BorrowedFd};

/// Number of ptmx(4).
const PTMX: u64 = makedev(5, 2);

impl OfFile for PtyMaster {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_char_device() && seen.stat.rdev == PTMX && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let fail = |e| Error::new("ask for the index of a pseudo terminal", e);
        let master = seen.duplicate()?;
        let index = terminal_number(master, TerminalNumber::Index).map_err(fail)?;
        let node = node(master).map_err(|e| {
            let problem = format!("its slave cannot be found beside its name: {e}");
            Problem::new("file.ptmx", problem)
        })?;
        let pty = ObjectId { dev: node.st_dev, ino: u64::from(index.cast_unsigned()) };
        Ok(PtyMaster { file, pid: Pid(seen.pid), name: seen.file()?, pty })
    }
}

/// The node of the slave of a master. To be a path only is no opening: neither end notices it.
pub(crate) fn node(master: BorrowedFd<'_>) -> io::Result<FileStat> {
    Ok(fstat(open_slave(master, libc::O_PATH)?)?)
}
