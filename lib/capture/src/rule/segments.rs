//! System V shared memory (shmget(2)) that others have attached as well: they would go on without the tree.

use crate::{Result, layout::segments_of, look::tree, origin, own_spaces, subject::Process};
use floe_records::{
    Finding, Findings, NsId, NsKind, ObjectId, Pid, SEGMENTS, is_of_segments, segments_below,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many mappings the processes of a tree have of each segment, and the first of them that has one.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    all: BTreeMap<ObjectId, (u32, u64)>,
    /// IPC namespaces by their numbers, with a process in each.
    spaces: BTreeMap<u64, u32>,
}

/// Where segments are looked at.
struct Place<'a> {
    dev: u64,
    /// A process that is in the namespace.
    pid: Option<u32>,
    /// It is the tree's own: all of its segments are.
    own: bool,
    pids: &'a [u32],
    still: bool,
}

impl Attached {
    /// Counts those of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        let files = process.layout.vmas.iter().filter_map(|vma| vma.file.as_ref());
        for file in
            files.filter(|file| is_of_segments(file.dev) && file.path.0.starts_with(b"/SYSV"))
        {
            let id = ObjectId { dev: file.dev, ino: file.ino };
            self.all.entry(id).or_insert((process.pid, 0)).1 += 1;
        }
        if let Some(space) = process.namespace(NsKind::Ipc.name()) {
            self.spaces.entry(space).or_insert(process.pid);
        }
    }

    /// The same as [`Attached::check`] for the running tree below `root`.
    pub fn check_running(&self, root: u32, out: &mut Findings) -> Result<()> {
        let below = self.below()?.next().is_some();
        if self.all.is_empty() && !below && !origin::has_left(NsKind::Ipc)? {
            return Ok(());
        }
        self.check(&tree(root)?, false, out)
    }

    /// Compares them with what the kernel counts, in a tree of `pids`. `still`: it stands still, so that nothing has changed
    /// since they were counted.
    pub fn check(&self, pids: &[u32], still: bool, out: &mut Findings) -> Result<()> {
        // In an IPC namespace of the tree's own all of them are the tree's.
        let own = origin::has_left(NsKind::Ipc)?;
        let pid = pids.first().copied().filter(|_| own);
        if own || self.all.keys().any(|id| id.dev == SEGMENTS) {
            self.check_space(&Place { dev: SEGMENTS, pid, own, pids, still }, out)?;
        }
        for (space, pid) in self.below()? {
            let dev = segments_below(NsId(space));
            let place = Place { dev, pid: Some(pid), own: true, pids, still };
            let looked = own_spaces::within(pid, NsKind::Ipc, || self.check_space(&place, out));
            if looked.is_err() && floe_proc::is_dead(pid)? {
                continue;
            }
            looked?;
        }
        Ok(())
    }

    /// Those of the namespaces that are not that of the root, which we are in.
    fn below(&self) -> Result<impl Iterator<Item = (u64, u32)>> {
        let own = floe_proc::namespace(std::process::id(), NsKind::Ipc.name())?;
        let all = self.spaces.iter().map(|(space, pid)| (*space, *pid));
        Ok(all.filter(move |(space, _)| Some(*space) != own))
    }

    /// The same of the namespace that the calling thread is in.
    fn check_space(&self, place: &Place<'_>, out: &mut Findings) -> Result<()> {
        let all = floe_proc::segments()?;
        let member = place.pid.filter(|_| place.own).map(|pid| (pid, 0));
        for segment in &all {
            let id = ObjectId { dev: place.dev, ino: segment.id.into() };
            let Some((pid, own)) = self.all.get(&id).copied().or(member) else { continue };
            if segment.attached > own {
                let others = others(segment.id, place)?;
                if others.is_empty() && !place.still {
                    continue;
                }
                let count = segment.attached - own;
                let problem = match others.first() {
                    Some(pid) => {
                        format!("process {pid} outside of the tree has attached it as well")
                    }
                    None => format!("{count} mappings of it are of processes outside of the tree"),
                };
                let finding = Finding::of(Pid(pid), name(id.ino), "segment.attached", problem);
                out.refuse(
                    finding.hint("end those that share it first, or checkpoint them together"),
                );
            }
        }
        let there: BTreeSet<u64> = all.iter().map(|segment| segment.id.into()).collect();
        let gone = |(id, _): &(&ObjectId, _)| id.dev == place.dev && !there.contains(&id.ino);
        for (id, (pid, _)) in self.all.iter().filter(gone) {
            let problem = "it is of another IPC namespace than the process that has attached it";
            out.refuse(Finding::of(Pid(*pid), name(id.ino), "segment.attached", problem));
        }
        Ok(())
    }
}

fn name(id: u64) -> String {
    format!("segment {id} of System V shared memory")
}

/// Processes outside of a tree that map a segment.
fn others(id: u32, place: &Place<'_>) -> Result<Vec<u32>> {
    let mut all = floe_proc::numbers_in("/proc")?;
    all.retain(|pid| !place.pids.contains(pid));
    let maps = |pid: &u32| {
        let all = floe_proc::mappings(*pid).unwrap_or_default();
        all.iter().any(|m| m.name.starts_with(b"/SYSV") && m.ino == u64::from(id))
    };
    all.retain(|pid| maps(pid) && segments_of(*pid) == place.dev);
    Ok(all)
}
