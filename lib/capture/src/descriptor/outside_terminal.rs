//! Slaves of pseudo terminals whose masters are outside, asked through a duplicate.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    file::pty_slave::is_slave,
    files::Files,
    resource::{OfDescriptor, OfFile, is},
};
use floe_records::{AnyRecord, Bytes, External, FileId, Findings, OutsideTerminal, Pid, PtySlave};
use floe_sys::{terminal_modes, window_size};
use nix::sys::stat::{fstat, major};
use std::os::fd::AsFd;

/// Major number of tty(4).
const TTY: u64 = 5;

impl OfDescriptor for OutsideTerminal {
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let terminal = is_slave(seen.stat.rdev) || major(seen.stat.rdev) == TTY;
        if !first || !terminal || !seen.context.taking || !PtySlave::claims(seen) {
            return Ok(Vec::new());
        }
        let slave = PtySlave::take(seen, file)?;
        let own = seen.duplicate()?;
        // One that has hung up tells nothing any more.
        let (Ok(modes), Ok(size)) = (terminal_modes(own.as_fd()), window_size(own.as_fd())) else {
            return Ok(Vec::new());
        };
        let Ok(node) = fstat(own) else { return Ok(Vec::new()) };
        Ok(vec![OutsideTerminal {
            file,
            pid: Pid(seen.pid),
            name: slave.name,
            controlling: slave.controlling,
            pty: slave.pty,
            flags: modes.flags,
            characters: Bytes(modes.characters.to_vec()),
            speeds: modes.speeds,
            size,
            owner: (node.st_uid, node.st_gid, node.st_mode & 0o7777),
        }])
    }

    /// Those of the tree stand elsewhere.
    fn relate(files: &mut Files, _: &mut Findings) -> Result<()> {
        let outside = |id: FileId| is::<External>(&files.all[id.0 as usize].0);
        files.properties.retain(
            |it| !matches!(it, AnyRecord::OutsideTerminal(terminal) if !outside(terminal.file)),
        );
        Ok(())
    }
}
