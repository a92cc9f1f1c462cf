//! A process and its threads as they are looked at: running, or held still.

use crate::{
    Result,
    layout::{self, Layout},
    proc::{self, Stat, Status},
};
use floe_records::{Addr, Vma, VmaKind};
use floe_sys::Error;
use floe_tracee::Tracee;

/// A process. What is read here is read before anything is borrowed from it, so that only its own shows.
pub(crate) struct Process<'a> {
    pub pid: u32,
    pub stat: Stat,
    pub status: Status,
    pub layout: Layout,
    /// Its threads, the leader first; empty while it runs.
    pub threads: &'a [Tracee],
}

impl<'a> Process<'a> {
    /// Reads what /proc says of a living process.
    pub fn read(pid: u32, threads: &'a [Tracee]) -> Result<Self> {
        let (stat, status) = (Stat::of(pid)?, Status::of(pid)?);
        Ok(Self { pid, stat, status, layout: layout::layout(pid)?, threads })
    }

    /// Its leader, where it is held.
    pub fn leader(&self) -> Result<&Tracee> {
        let none = || Error::because("ask it", "it is not held").pid(self.pid);
        Ok(self.threads.first().ok_or_else(none)?)
    }

    /// The vdso.
    pub fn vdso(&self) -> Option<(Addr, Addr)> {
        let vdso = |vma: &&Vma| vma.kind == VmaKind::Vdso;
        self.layout.vmas.iter().find(vdso).map(|vma| (vma.start, vma.end))
    }
}

/// A thread.
pub(crate) struct Thread<'a> {
    pub pid: u32,
    pub tid: u32,
    pub status: Status,
    tracee: Option<&'a Tracee>,
}

impl<'a> Thread<'a> {
    /// Reads what /proc says of a thread; `tracee` where it is held.
    pub fn read(pid: u32, tid: u32, tracee: Option<&'a Tracee>) -> Result<Self> {
        Ok(Self { pid, tid, status: Status::of(tid)?, tracee })
    }

    /// The thread as its tracer has it.
    pub fn tracee(&self) -> Result<&Tracee> {
        let none = || Error::because("ask it", "it is not held").pid(self.tid);
        Ok(self.tracee.ok_or_else(none)?)
    }
}

/// Whether a process or thread has ended, or is gone.
pub(crate) fn is_dead(pid: u32) -> bool {
    Stat::of(pid).map_or(true, |stat| stat.is_dead())
}

/// The threads of a process but for its leader.
pub(crate) fn others(pid: u32) -> impl Iterator<Item = u32> {
    proc::tids(pid).into_iter().filter(move |tid| *tid != pid)
}
