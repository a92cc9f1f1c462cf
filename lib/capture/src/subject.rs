//! A process and its threads as they are looked at: running, or held still.

use crate::{
    Result,
    layout::{self, Layout},
    parallel,
    path::Root,
};
use floe_proc::{Stat, Status, namespaces_of};
use floe_records::{Addr, FileRef, Pid, Shares, Vma, VmaKind};
use floe_sys::Error;
use floe_tracee::Tracee;

/// All that there are, as /proc/PID/ns names them.
pub(crate) const NAMESPACES: [&str; 10] = [
    "pid",
    "pid_for_children",
    "user",
    "time",
    "time_for_children",
    "net",
    "ipc",
    "uts",
    "cgroup",
    "mnt",
];
/// Those that a thread may have of its own, besides its table and its directories.
pub(crate) const OF_THREADS: [&str; 6] =
    ["net", "ipc", "uts", "cgroup", "pid_for_children", "time_for_children"];
/// Inode numbers in the order of [`NAMESPACES`]; `None` for one that a process has left at its end.
pub(crate) type Inodes = [Option<u64>; NAMESPACES.len()];

/// A process. What is read here is read once, before anything is borrowed from it, so that only its own shows.
pub(crate) struct Process<'a> {
    pub pid: u32,
    pub stat: Stat,
    pub status: Status,
    pub layout: Layout,
    /// Its root directory; the path is the one that we see.
    pub root: FileRef,
    pub exe: FileRef,
    pub cwd: FileRef,
    pub namespaces: Inodes,
    /// The thread of its parent whose child it is, where the tree stands still.
    pub maker: u32,
    /// What it has from other processes, where the tree stands still.
    pub shares: Shares,
    /// Its children.
    pub children: Vec<(u32, Stat)>,
    /// Its threads, the leader first.
    pub tasks: Vec<Thread<'a>>,
    /// Those that are held, the leader first; none while it runs.
    pub threads: &'a [Tracee],
}

impl<'a> Process<'a> {
    /// Reads what /proc says of a living process; `threads` are those that are held; `whole`: also what no refusal goes by.
    pub fn read(pid: u32, stat: Stat, threads: &'a [Tracee], whole: bool) -> Result<Self> {
        // Not kept open: a tree may have more processes than we may have files.
        let place = Root::of(pid)?;
        let (exe, cwd) = (place.link("exe")?, place.link("cwd")?);
        let layout = layout::layout(pid, &place, whole)?;
        let exe = layout.executable(exe);
        let root = FileRef { mnt_id: place.link("root")?.mnt_id, outside: false, ..place.own()? };
        let tasks = if threads.is_empty() { running(pid)? } else { held(pid, threads)? };
        Ok(Self {
            pid,
            maker: stat.ppid,
            shares: Shares::none(Pid(pid)),
            stat,
            status: Status::of(pid)?,
            layout,
            root,
            exe,
            cwd,
            namespaces: namespaces_of(pid, NAMESPACES)?,
            children: Vec::new(),
            tasks,
            threads,
        })
    }

    /// Its leader, where it is held.
    pub fn leader(&self) -> Result<&Tracee> {
        let none = || Error::because("ask it", "it is not held").pid(self.pid);
        Ok(self.threads.first().ok_or_else(none)?)
    }

    /// Inode number of one of its namespaces.
    pub fn namespace(&self, name: &str) -> Option<u64> {
        NAMESPACES.iter().position(|known| *known == name).and_then(|at| self.namespaces[at])
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
    /// Those of [`OF_THREADS`]; `None` for one that has ended since.
    pub namespaces: Option<[Option<u64>; OF_THREADS.len()]>,
    tracee: Option<&'a Tracee>,
}

impl<'a> Thread<'a> {
    fn read(pid: u32, tid: u32) -> Result<Self> {
        let own = |tid| namespaces_of(tid, OF_THREADS).map(Some);
        // What its leader has is known already.
        let namespaces = if tid == pid { None } else { unless_gone(own(tid))? };
        Ok(Self { pid, tid, status: Status::of(tid)?, namespaces, tracee: None })
    }

    /// Of recorded text.
    #[cfg(test)]
    pub fn of_status(tid: u32, status: Status) -> Self {
        Self { pid: tid, tid, status, namespaces: None, tracee: None }
    }

    /// The thread as its tracer has it, where the tree stands still.
    pub fn held(&self) -> Option<&Tracee> {
        self.tracee
    }

    /// [`Thread::held`] of one that must be.
    pub fn tracee(&self) -> Result<&Tracee> {
        let none = || Error::because("ask it", "it is not held").pid(self.tid);
        Ok(self.tracee.ok_or_else(none)?)
    }
}

fn held(pid: u32, threads: &[Tracee]) -> Result<Vec<Thread<'_>>> {
    let read = |tracee: &'_ Tracee| Thread::read(pid, tracee.tid() as u32);
    let all = parallel::each(threads, read).into_iter().zip(threads);
    all.map(|(thread, tracee)| Ok(Thread { tracee: Some(tracee), ..thread? })).collect()
}

fn running<'a>(pid: u32) -> Result<Vec<Thread<'a>>> {
    let mut all = Vec::new();
    let tids = tids(pid)?;
    for (tid, thread) in tids.iter().zip(parallel::each(&tids, |tid| Thread::read(pid, *tid))) {
        match thread {
            Ok(thread) => all.push(thread),
            // It has just ended.
            Err(_) if floe_proc::is_dead(*tid)? => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by_key(|thread| thread.tid != pid);
    Ok(all)
}

/// What a read of /proc gave, or the default (nothing, no threads) for a task that has ended meanwhile.
pub(crate) fn unless_gone<T: Default>(read: floe_sys::Result<T>) -> floe_sys::Result<T> {
    match read {
        Err(error) if error.is_gone() => Ok(T::default()),
        other => other,
    }
}

/// The threads of a process, ascending; none when it is gone.
pub(crate) fn tids(pid: u32) -> floe_sys::Result<Vec<u32>> {
    unless_gone(floe_proc::tids(pid))
}

/// The threads of a process but for its leader.
pub(crate) fn others(pid: u32) -> floe_sys::Result<Vec<u32>> {
    let mut all = tids(pid)?;
    all.retain(|tid| *tid != pid);
    Ok(all)
}

/// What /proc/PID/stat says; `None` when it is gone.
pub(crate) fn stat(pid: u32) -> floe_sys::Result<Option<Stat>> {
    unless_gone(Stat::of(pid).map(Some))
}
