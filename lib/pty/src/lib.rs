//! What is queued in a pseudo terminal (pty(7)), taken out of it and put in again.
//!
//! Nothing shows what is queued but a read(2), and of an unfinished line not even that: so [`take`] reads all of it and puts it
//! back at once, in a child that lives on should its parent be killed. Who holds the processes meanwhile sees to it that none of
//! them notices. [`fill`] puts it in by TIOCSTI, which hands bytes to the line discipline without a way through the other end:
//! there is no moment at which some of them are still on their way, and neither modes nor a stop of the output change them.
//!
//! The line discipline of the slave keeps its input behind all processing (echo, signals, editing), as bytes and ends of lines.
//! Modes of our own keep those as they are on both ways: none but ICANON, which must not change as long as there are lines, IXON,
//! without which output that was stopped by a key would go on, and the characters that end a line.
#![forbid(unsafe_code)]

mod fill;
mod take;

pub use fill::fill;
pub use take::{Master, Taken, take};

use floe_sys::TerminalModes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;

/// What a terminal holds back at most before its input or output is processed (N_TTY_BUF_SIZE without the last), bytes.
pub const ROOM: usize = 4095;

/// Why a terminal writes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stopped {
    /// It does.
    #[default]
    No,
    /// By the key for that (VSTOP).
    Key,
    /// By TCOOFF.
    Call,
}

/// What is queued.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Queues {
    /// Lengths of the lines that are complete, in canonical mode. One that ends neither with a newline nor with another character
    /// for that (VEOL, VEOL2) was ended by VEOF, which is not counted.
    pub lines: Vec<u32>,
    /// What the slave will read: these lines, then the line that is not complete, or all that there is outside of canonical mode.
    pub input: Vec<u8>,
    /// What the master will read.
    pub output: Vec<u8>,
    /// Whether its output is stopped.
    pub stopped: Stopped,
}

/// The same, of which nothing is ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queued<'a> {
    /// See [`Queues`].
    pub lines: &'a [u32],
    /// See [`Queues`].
    pub input: &'a [u8],
    /// See [`Queues`].
    pub output: &'a [u8],
    /// See [`Queues`].
    pub stopped: Stopped,
}

impl Queues {
    /// All of it.
    pub fn queued(&self) -> Queued<'_> {
        let Self { lines, input, output, stopped } = self;
        Queued { lines, input, output, stopped: *stopped }
    }
}

/// Whether its input comes in lines.
pub fn is_canonical(modes: &TerminalModes) -> bool {
    modes.flags[3] & libc::ICANON != 0 && modes.flags[3] & libc::EXTPROC == 0
}

/// Modes under which no byte means anything.
fn plain(modes: &TerminalModes) -> TerminalModes {
    let [input, _, control, local] = modes.flags;
    let flags = [input & libc::IXON, 0, control, local & (libc::ICANON | libc::EXTPROC)];
    let mut plain = TerminalModes { flags, characters: [0; 19], ..*modes };
    plain.characters[libc::VMIN] = 1;
    plain
}

/// Which of these can be had without waiting.
fn ready(fd: BorrowedFd<'_>, what: PollFlags) -> std::io::Result<bool> {
    let mut polled = [PollFd::new(fd, what)];
    poll(&mut polled, PollTimeout::ZERO)?;
    Ok(polled[0].revents().is_some_and(|found| found.intersects(what)))
}
