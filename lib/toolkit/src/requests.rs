//! What a stage asks of the holder of the tree: copies of processes, and that the tree runs on.
//!
//! A message of SOCK_SEQPACKET each, in JSON; each request has one answer. The holder is `freeze --then run`, which says by a
//! record ([`floe_records::Requests`]) where it listens.

use anyhow::{Context, bail, ensure};
use floe_proc::Stat;
use floe_records::{Begin, Requests};
use nix::unistd::{read, write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::os::fd::{AsFd, OwnedFd};

/// Longest message, bytes.
const LONGEST: usize = 128 << 10;
/// Processes that one request names at most.
pub const MOST: usize = 4096;

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Copy these processes, at most [`MOST`].
    Copy(Vec<u32>),
    /// Let the tree run.
    Release,
    /// From the holder itself: the reader of the stream has ended.
    End,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Processes, each with its copy.
    Copies(Vec<(u32, u32)>),
    /// None was copied, for this reason.
    No(String),
    /// The tree runs.
    Runs,
}

/// Sends a message.
///
/// # Errors
/// Those of write(2); EPIPE where the other side is gone.
pub fn tell<T: Serialize>(socket: impl AsFd, message: &T) -> anyhow::Result<()> {
    let text = serde_json::to_vec(message)?;
    ensure!(text.len() <= LONGEST, "a request is too long");
    write(socket.as_fd(), &text).context("unable to send a request")?;
    Ok(())
}

/// Receives a message, waiting for it; `None` where the other side is gone.
///
/// # Errors
/// Those of read(2), and what is no message.
pub fn hear<T: DeserializeOwned>(socket: impl AsFd) -> anyhow::Result<Option<T>> {
    let mut text = vec![0; LONGEST];
    let len = loop {
        match read(socket.as_fd(), &mut text) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other.context("unable to hear a request")?,
        }
    };
    if len == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&text[..len]).context("unable to read a request")?))
}

/// The holder of a tree, which takes requests.
#[derive(Debug)]
pub struct Holder(OwnedFd);

impl Holder {
    /// Finds it.
    ///
    /// # Errors
    /// Where it is gone, or we may not trace it.
    pub fn find(begin: &Begin, requests: &Requests) -> anyhow::Result<Self> {
        let handle = floe_sys::pidfd_open(begin.holder.0 as i32)?;
        let stat = Stat::of(begin.holder.0)?;
        ensure!(stat.start_time == begin.holder_start, "the holder is gone");
        Ok(Self(floe_sys::pidfd_getfd(handle.as_fd(), requests.fd as i32)?))
    }

    /// Has processes copied: gives each with its copy, or why none was copied.
    ///
    /// # Errors
    /// Where the holder is gone.
    pub fn copy(&self, pids: &[u32]) -> anyhow::Result<Result<Vec<(u32, u32)>, String>> {
        match self.ask(&Request::Copy(pids.to_vec()))? {
            Answer::Copies(copies) => Ok(Ok(copies)),
            Answer::No(why) => Ok(Err(why)),
            Answer::Runs => bail!("the tree runs already"),
        }
    }

    /// Lets the tree run.
    ///
    /// # Errors
    /// Where the holder is gone.
    pub fn release(&self) -> anyhow::Result<()> {
        match self.ask(&Request::Release)? {
            Answer::Runs => Ok(()),
            other => bail!("an unexpected answer: {other:?}"),
        }
    }

    fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        tell(&self.0, request)?;
        hear(&self.0)?.context("the holder of the tree is gone")
    }
}
