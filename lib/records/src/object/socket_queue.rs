//! What is queued in a UNIX socket.

use crate::{Bytes, FileId, Link, Pid, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// What a message carries beside its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// Which of the messages it is, from 0.
    pub message: u32,
    /// Open file descriptions on their way in it (SCM_RIGHTS of unix(7)), in their order; at most 253.
    pub files: Vec<FileId>,
    /// Process, user and group that the receiver will be told of (SCM_CREDENTIALS), where it has asked for them.
    pub sender: Option<(Pid, u32, u32)>,
}

/// SCM_MAX_FD of the kernel.
const MOST_FILES: usize = 253;

/// Queued data of one socket, oldest first; bulk of all messages together follows when their sum is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketQueue {
    /// Inode of the socket that would receive the data.
    pub ino: u64,
    /// Lengths of the messages. Of a stream those of its parts: a new one begins where descriptors do, behind them, and where another
    /// process has written.
    pub messages: Vec<u32>,
    /// Of datagrams the address of who sent each, behind `sun_family`, empty for none; no entry at all where none has one.
    pub senders: Vec<Bytes>,
    /// What messages carry beside their bytes, by ascending message.
    pub carried: Vec<Carried>,
    /// All messages together.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl SocketQueue {
    /// What a message carries.
    pub fn carried(&self, message: usize) -> Option<&Carried> {
        let at = self.carried.binary_search_by_key(&message, |carried| carried.message as usize);
        at.ok().map(|at| &self.carried[at])
    }

    /// Open file descriptions on their way in it.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        self.carried.iter().flat_map(|carried| &carried.files).copied()
    }
}

impl Resource for SocketQueue {
    type Key = u64;
    fn key(&self) -> u64 {
        self.ino
    }

    fn content_len(&self) -> u64 {
        self.messages.iter().map(|len| u64::from(*len)).sum()
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        self.files().for_each(|file| visit(Link::File(file)));
    }

    fn check(&self) -> Result<(), String> {
        ensure(!self.messages.contains(&0), "an empty message is queued in it")?;
        let fits = self.senders.is_empty() || self.senders.len() == self.messages.len();
        ensure(fits, "some of its messages have a sender and some have not")?;
        // 108 bytes, and a NUL that getsockname(2) may add.
        let short = self.senders.iter().all(|sender| sender.0.len() <= 109);
        ensure(short, "the address of a sender is too long")?;
        let carried = self.carried.iter();
        ensure(
            sane::ascending(carried.clone().map(|it| it.message)),
            "what it carries is in disorder",
        )?;
        let last = self.carried.last().map_or(0, |last| last.message as usize + 1);
        ensure(last <= self.messages.len(), "something is carried by no message")?;
        let few = carried.clone().all(|it| it.files.len() <= MOST_FILES);
        ensure(few, "a message carries more descriptors than the kernel lets it")?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
