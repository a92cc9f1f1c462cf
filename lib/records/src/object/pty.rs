//! Pseudo terminals whose masters belong to the tree (pty(7)).

use crate::{Bytes, Link, ObjectId, Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// What stopped the output of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FlowStop {
    /// The key for that (VSTOP).
    Key,
    /// TCOOFF (tcflow(3)).
    Call,
}

/// A pseudo terminal: what its master and all descriptions of its slave have in common. Bulk of `input` and `output` bytes follows
/// when their sum is not 0, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pty {
    /// `st_dev` of its instance of devpts, and its index there.
    pub id: ObjectId,
    /// `c_iflag`, `c_oflag`, `c_cflag`, `c_lflag` of the slave (TCGETS2).
    pub flags: [u32; 4],
    /// `c_cc`, 19 bytes.
    pub characters: Bytes,
    /// `c_ispeed`, `c_ospeed`, baud.
    pub speeds: [u32; 2],
    /// Rows, columns, width and height in pixels (TIOCGWINSZ).
    pub size: [u16; 4],
    /// Owner, group and permissions of the node of the slave.
    pub owner: (u32, u32, u32),
    /// The slave has been opened: with no description of it left, the master has hung up.
    pub opened: bool,
    /// The slave may not be opened (TIOCGPTLCK).
    pub locked: bool,
    /// The master, and the slave, may not be opened again (TIOCGEXCL).
    pub exclusive: (bool, bool),
    /// The master is in packet mode (TIOCGPKT).
    pub packet: bool,
    /// Why nothing is written.
    pub stopped: Option<FlowStop>,
    /// The session whose controlling terminal it is, and the process group in the foreground, 0 for none.
    pub session: Option<(Pid, Pid)>,
    /// The name of the slave stands in arguments or environments of the tree: its index must be the same.
    pub named: bool,
    /// Lengths of the complete lines at the beginning of the input, in canonical mode.
    pub lines: Vec<u32>,
    /// Bytes that the slave will read.
    pub input: u32,
    /// Bytes that the master will read.
    pub output: u32,
    /// What is queued.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Pty {
    /// Characters of `struct termios2` (NCCS).
    pub const CHARACTERS: usize = 19;
    /// Bytes of input that a line discipline holds.
    pub const INPUT: u32 = 4095;
    /// More than is ever queued of output, bytes.
    pub const OUTPUT: u32 = 64 << 10;
    /// Most pseudo terminals (NR_UNIX98_PTY_MAX).
    const INDICES: u64 = 1 << 20;
}

impl Resource for Pty {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.id
    }

    fn content_len(&self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        if let Some((session, _)) = self.session {
            visit(Link::Process(session));
        }
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.id.ino < Self::INDICES, "its index is none")?;
        let characters = self.characters.0.len() == Self::CHARACTERS;
        ensure(characters, "it has another number of control characters")?;
        let few = self.input <= Self::INPUT && self.output <= Self::OUTPUT;
        ensure(few, "more is queued in it than fits")?;
        let lines: u64 = self.lines.iter().map(|line| u64::from(*line)).sum();
        let fits = lines <= u64::from(self.input) && self.lines.len() <= Self::INPUT as usize;
        ensure(fits, "its lines are longer than its input")?;
        let idle = self.input == 0 && self.stopped.is_none() && self.lines.is_empty();
        ensure(self.opened || idle, "a slave that was never opened holds something")?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
