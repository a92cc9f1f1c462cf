//! Modes of terminals, read through a duplicate (tcgetattr(3)).

use floe_records::{Bytes, FileId, Terminal};
use nix::sys::termios::tcgetattr;
use std::os::fd::BorrowedFd;

/// `None` for what is no terminal, or one that nobody can be asked about any more.
pub(super) fn terminal(file: FileId, fd: BorrowedFd<'_>) -> Option<Terminal> {
    let modes = tcgetattr(fd).ok()?;
    let flags = [
        modes.input_flags.bits(),
        modes.output_flags.bits(),
        modes.control_flags.bits(),
        modes.local_flags.bits(),
    ];
    Some(Terminal { file, flags, characters: Bytes(modes.control_chars.to_vec()) })
}
