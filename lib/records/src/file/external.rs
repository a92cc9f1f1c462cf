//! What belongs to the world outside of the tree.

use crate::{Bytes, FdNum, FileId, Resource, sane};
use serde::{Deserialize, Serialize};

/// Belongs to the world outside of the tree: a terminal, or a pipe or socket whose other end is elsewhere. Restore takes
/// it from its own standard streams or from `--inherit`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The open file description.
    pub file: FileId,
    /// What it was, for people.
    pub what: Bytes,
}

/// How the links of pipes and sockets begin.
const PIPE: &[u8] = b"pipe:[";
const SOCKET: &[u8] = b"socket:[";
/// How names of virtual consoles and serial lines begin.
const TTY: &[u8] = b"tty";
/// Standard input, output and error: restore has these itself.
const STANDARD: std::ops::RangeInclusive<u32> = 0..=2;

impl External {
    /// What it was, in words.
    pub fn in_words(&self) -> &'static str {
        match (self.what.0.starts_with(PIPE), self.what.0.starts_with(SOCKET)) {
            (true, _) => "a pipe whose other end is outside of the tree",
            (_, true) => "a socket whose other end is outside of the tree",
            _ if self.is_line() => "a virtual console or a serial line",
            _ => "a terminal",
        }
    }

    /// Whether restore has nothing of its own that takes its place as this descriptor: it has standard streams, and in the
    /// place of a terminal comes its own one, under any number. A virtual console or a serial line is a device of the machine, and
    /// no terminal of a user, where it is none of the standard streams.
    pub fn must_be_given(&self, fd: FdNum) -> bool {
        !STANDARD.contains(&fd.0) && (!self.is_terminal() || self.is_line())
    }

    /// Whether it is a virtual console or a serial line by its name: ttyN, ttySN and the like.
    pub fn is_line(&self) -> bool {
        let name = self.what.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        self.is_terminal() && name.len() > TTY.len() && name.starts_with(TTY)
    }

    /// Whether it is neither a pipe nor a socket.
    pub fn is_terminal(&self) -> bool {
        !self.what.0.starts_with(PIPE) && !self.what.0.starts_with(SOCKET)
    }
}

impl Resource for External {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        sane::text(&self.what)
    }
}
