//! A process whose threads are all stopped.

use crate::{Result, subject::Process};
use floe_proc::Stat;
use floe_tracee::Tracee;

/// A process that is held.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub pid: u32,
    /// What /proc said of it when it stood.
    pub(crate) stat: Stat,
    /// The thread of its parent whose child it is.
    pub(crate) maker: u32,
    /// Its threads, the leader first; empty for a zombie.
    pub threads: Vec<Tracee>,
    /// Its wait status, for a zombie.
    pub zombie: Option<u32>,
}

impl Held {
    /// What /proc says of a living one.
    pub(crate) fn read(&self) -> Result<Process<'_>> {
        let read = Process::read(self.pid, self.stat.clone(), &self.threads, true)?;
        Ok(Process { maker: self.maker, ..read })
    }
}

/// A thread that is gone needs no release.
pub(crate) fn release(tracees: impl IntoIterator<Item = Tracee>) {
    for tracee in tracees {
        let _ = tracee.detach();
    }
}
