//! Memory that comes later: processes run while their pages are still elsewhere, and a pager puts each into place when it is
//! touched, or before (userfaultfd(2)).
//!
//! The kernel lets a process that waits for a page go on with zeros when nobody watches its memory any more. So two processes do the
//! work. The **pager** serves faults and fills what nobody has touched yet. The **keeper** is its parent, has its table of descriptors in
//! common with it, and does nothing but wait for it: should the pager end before its time, for whatever reason, what watches the
//! memory is still open in the keeper, which kills the processes.
#![forbid(unsafe_code)]

mod jobs;
mod keeper;
mod pending;
mod record;
mod serve;
mod space;

use floe_sys::Userfaultfd;
use std::{
    error::Error as StdError,
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// A process whose memory comes later.
#[derive(Debug)]
pub struct Client {
    /// What it is called.
    pub pid: u32,
    /// A handle of it.
    pub handle: OwnedFd,
    /// What watches its memory, of which all that comes later must be registered.
    pub memory: Userfaultfd,
}

/// Pages that are read at once.
#[derive(Clone, Debug)]
pub struct Run {
    /// The process, by its place among the clients.
    pub client: usize,
    /// Addresses and lengths in bytes, of whole pages; their contents stand one behind the other.
    pub ranges: Vec<(u64, u32)>,
}

/// Where contents come from.
pub trait Source: Sync {
    /// Reads the content of a run, by its number, all of it and checked.
    ///
    /// # Errors
    /// Where that cannot be had.
    fn read(&self, run: u32, into: &mut Vec<u8>) -> Result<(), Box<dyn StdError + Send + Sync>>;

    /// All is in place, or nobody is left who wants it.
    ///
    /// # Errors
    /// Where that cannot be told to who wants to know.
    fn finish(&self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok(())
    }

    /// What the pager needs open for it, and for a recording.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
}

/// All that a pager has to do.
pub struct Work<'a> {
    /// Processes.
    pub clients: Vec<Client>,
    /// What is to be put into place.
    pub runs: Vec<Run>,
    /// The runs in the order in which they are filled that nobody waits for.
    pub order: Vec<u32>,
    /// How many of them are filled at once, whatever the gate says.
    pub early: usize,
    /// Tells which runs were waited for.
    pub recording: Option<Recording<'a>>,
    /// Where they come from.
    pub source: &'a dyn Source,
    /// Before its other end is closed, only those are filled that somebody waits for.
    pub gate: OwnedFd,
    /// Before that nothing can be read at all. As long as not even a byte has come through the gate, nobody waits for anything but
    /// by mistake, and for ever: then the pager fails.
    pub strict: bool,
    /// Tells people something.
    pub say: &'a (dyn Fn(&str) + Sync),
}

/// What is waited for, as long as nothing else is filled.
pub struct Recording<'a> {
    /// When nobody has waited for anything this long behind the opening of the gate, the rest is filled.
    pub quiet: Duration,
    /// Gets the runs, in the order in which they were waited for.
    pub done: &'a (dyn Fn(&[u32]) + Sync),
}

/// Why memory cannot be put into place.
#[derive(Debug)]
pub enum Error {
    /// The kernel does not do it.
    Kernel(io::Error),
    /// The content cannot be read.
    Content(Box<dyn StdError + Send + Sync>),
    /// Somebody waits for pages that cannot come yet.
    Early,
    /// A thread of the pager has failed.
    Thread,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(e) => write!(f, "unable to put pages into place: {e}"),
            Self::Content(e) => write!(f, "unable to read pages: {e}"),
            Self::Early => f.write_str("pages were touched before the process runs"),
            Self::Thread => f.write_str("unable to put pages into place: a thread has failed"),
        }
    }
}

impl StdError for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<nix::Error> for Error {
    fn from(error: nix::Error) -> Self {
        Self::Kernel(error.into())
    }
}

/// Starts a pager and its keeper, which end by themselves when all is in place or the processes have ended. They have no descriptor of
/// ours but those that they need, and standard error.
///
/// # Errors
/// Where no process can be started; also where this one has other threads.
pub fn start(work: Work<'_>) -> floe_sys::Result<()> {
    let mut kept = work.source.descriptors();
    kept.push(work.gate.as_fd());
    for client in &work.clients {
        kept.extend([client.handle.as_fd(), client.memory.as_fd()]);
    }
    floe_sys::child_apart(&kept, "floe-keeper", || keeper::keep(&work)).map(drop)
}
