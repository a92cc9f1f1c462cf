//! System V shared memory (shmget(2)) that others have attached as well: they would go on without the tree.

use crate::{Result, look::tree, origin, subject::Process};
use floe_records::{Finding, Findings, NsKind, Pid, SEGMENTS};
use std::collections::BTreeMap;

/// How many mappings the processes of a tree have of each segment, by its identifier, and the first of them that has one.
#[derive(Debug, Default)]
pub(crate) struct Attached(BTreeMap<u64, (u32, u64)>);

impl Attached {
    /// Counts those of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        let files = process.layout.vmas.iter().filter_map(|vma| vma.file.as_ref());
        for file in files.filter(|file| file.dev == SEGMENTS) {
            self.0.entry(file.ino).or_insert((process.pid, 0)).1 += 1;
        }
    }

    /// The same as [`Attached::check`] for the running tree below `root`.
    pub fn check_running(&self, root: u32, out: &mut Findings) -> Result<()> {
        if self.0.is_empty() && !origin::has_left(NsKind::Ipc)? {
            return Ok(());
        }
        self.check(&tree(root)?, false, out)
    }

    /// Compares them with what the kernel counts, in a tree of `pids`. `still`: it stands still, so that nothing has changed
    /// since they were counted.
    pub fn check(&self, pids: &[u32], still: bool, out: &mut Findings) -> Result<()> {
        // In an IPC namespace of the tree's own all of them are the tree's.
        let own = origin::has_left(NsKind::Ipc)?;
        let root = pids.first().filter(|_| own);
        if self.0.is_empty() && root.is_none() {
            return Ok(());
        }
        for segment in floe_proc::segments()? {
            let none = root.map(|root| (*root, 0));
            let Some((pid, own)) = self.0.get(&segment.id.into()).copied().or(none) else {
                continue;
            };
            if segment.attached > own {
                let others = others(segment.id, pids)?;
                if others.is_empty() && !still {
                    continue;
                }
                let object = format!("segment {} of System V shared memory", segment.id);
                let count = segment.attached - own;
                let problem = match others.first() {
                    Some(pid) => {
                        format!("process {pid} outside of the tree has attached it as well")
                    }
                    None => format!("{count} mappings of it are of processes outside of the tree"),
                };
                let finding = Finding::of(Pid(pid), object, "segment.attached", problem);
                out.refuse(
                    finding.hint("end those that share it first, or checkpoint them together"),
                );
            }
        }
        Ok(())
    }
}

/// Processes outside of a tree that map a segment.
fn others(id: u32, pids: &[u32]) -> Result<Vec<u32>> {
    let mut all = floe_proc::numbers_in("/proc")?;
    all.retain(|pid| !pids.contains(pid));
    let maps = |pid: &u32| {
        let all = floe_proc::mappings(*pid).unwrap_or_default();
        all.iter().any(|m| m.name.starts_with(b"/SYSV") && m.ino == u64::from(id))
    };
    all.retain(maps);
    Ok(all)
}
