//! Putting in what was queued.

use crate::{Queued, ROOM, Stopped, is_canonical, plain};
use floe_sys::{
    TerminalModes, TerminalSetting, set_terminal, set_terminal_modes, terminal_receives,
};
use std::{io, os::fd::BorrowedFd, time::Duration};

/// ^S, whatever the key for that is: the modes of the moment say so.
const STOP: u8 = 0x13;
/// How often it is tried again where there is no room, and the time between.
const PAUSES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);
/// What ends a line without being read, and what takes the meaning of the next byte: the first two of these that mean nothing else.
const FREE: [u8; 4] = [0x04, 0x16, 0x05, 0x17];

/// Puts what was queued into a pseudo terminal that holds nothing, and gives it these modes. The slave is needed where anything is to
/// be read through it, where the output is stopped, or is longer than [`ROOM`]. Neither end may be in packet mode.
///
/// Nothing is allocated.
///
/// # Errors
/// Those of ioctl(2) and write(2); [`io::ErrorKind::StorageFull`] where it has no room.
pub fn fill(
    master: BorrowedFd<'_>,
    slave: Option<BorrowedFd<'_>>,
    modes: &TerminalModes,
    queues: &Queued<'_>,
) -> io::Result<()> {
    let needed = || slave.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
    let mut inside = plain(modes);
    if is_canonical(modes) {
        let special = Special::of(modes);
        inside.flags[3] |= libc::IEXTEN;
        inside.characters[libc::VEOF] = special.end;
        inside.characters[libc::VLNEXT] = special.quote;
        for end in [libc::VEOL, libc::VEOL2] {
            inside.characters[end] = modes.characters[end];
        }
        set_terminal_modes(master, &inside)?;
        if !queues.lines.is_empty() || !queues.input.is_empty() {
            lines(needed()?, queues, &special)?;
        }
    } else {
        set_terminal_modes(master, &inside)?;
        for &byte in queues.input {
            terminal_receives(needed()?, byte)?;
        }
    }
    let (first, rest) = queues.output.split_at(queues.output.len().min(ROOM));
    for &byte in first {
        terminal_receives(master, byte)?;
    }
    if !rest.is_empty() {
        // Without IXON what a key has stopped goes on.
        inside.flags[0] = 0;
        set_terminal_modes(master, &inside)?;
        set_terminal(needed()?, TerminalSetting::Flow(libc::TCOON))?;
        write(needed()?, rest)?;
    }
    match queues.stopped {
        Stopped::No => {}
        Stopped::Call => set_terminal(needed()?, TerminalSetting::Flow(libc::TCOOFF))?,
        Stopped::Key => {
            inside.flags[0] = libc::IXON;
            inside.characters[libc::VSTOP] = STOP;
            set_terminal_modes(master, &inside)?;
            terminal_receives(needed()?, STOP)?;
        }
    }
    set_terminal_modes(master, modes)
}

/// Bytes that mean something in canonical mode.
struct Special {
    end: u8,
    quote: u8,
    /// Those that end a line and are read with it; 0 for none.
    ends: [u8; 3],
}

impl Special {
    fn of(modes: &TerminalModes) -> Self {
        let ends = [b'\n', modes.characters[libc::VEOL], modes.characters[libc::VEOL2]];
        let mut free = FREE.into_iter().filter(|byte| !ends.contains(byte));
        let [end, quote] = [(); 2].map(|()| free.next().unwrap_or_default());
        Self { end, quote, ends }
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte != 0 && self.ends.contains(&byte)
    }

    fn means_something(&self, byte: u8) -> bool {
        self.ends_line(byte) || byte == self.end || byte == self.quote
    }

    fn put(&self, slave: BorrowedFd<'_>, byte: u8) -> io::Result<()> {
        if self.means_something(byte) {
            terminal_receives(slave, self.quote)?;
        }
        terminal_receives(slave, byte)
    }
}

fn lines(slave: BorrowedFd<'_>, queues: &Queued<'_>, special: &Special) -> io::Result<()> {
    let mut left = queues.input;
    for &length in queues.lines {
        let (line, rest) =
            left.split_at_checked(length as usize).ok_or(io::ErrorKind::InvalidInput)?;
        left = rest;
        let (inner, end) = match line.split_last() {
            Some((last, inner)) if special.ends_line(*last) => (inner, *last),
            _ => (line, special.end),
        };
        inner.iter().try_for_each(|byte| special.put(slave, *byte))?;
        terminal_receives(slave, end)?;
    }
    left.iter().try_for_each(|byte| special.put(slave, *byte))
}

/// Writes without waiting for a reader: all of it was in there before. Only what was read just now may not have left yet.
pub(crate) fn write(end: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    let mut pauses = 0;
    while !bytes.is_empty() {
        match nix::unistd::write(end, bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            Ok(_) | Err(nix::Error::EAGAIN) if pauses < PAUSES => {
                std::thread::sleep(PAUSE);
                pauses += 1;
            }
            Ok(_) | Err(nix::Error::EAGAIN) => return Err(io::ErrorKind::StorageFull.into()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
