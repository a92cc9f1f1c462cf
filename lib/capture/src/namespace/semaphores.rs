//! Sets of System V semaphores.

use crate::{
    Result,
    own_spaces::{self, OwnSpace},
    resource::OfNamespace,
};
use floe_records::{Finding, Findings, NsKind, Pid, Semaphores, Tree};

impl OfNamespace for Semaphores {
    /// What a process will undo at its end (SEM_UNDO) is not to be seen. Who was the last to change a semaphore may do so.
    fn look(space: &OwnSpace, out: &mut Findings) -> Result<()> {
        if space.kind != NsKind::Ipc {
            return Ok(());
        }
        for set in floe_proc::semaphore_sets()? {
            let Some((_, pids)) = read(set.id, set.count)? else { continue };
            let living = |pid: &&u32| **pid != 0 && floe_proc::path(**pid, "stat").exists();
            if let Some(pid) = pids.iter().find(living) {
                let object = format!("set {} of semaphores", set.id);
                let problem = "what it does to it may be undone at its end (SEM_UNDO), which does not come back";
                out.lose(Finding::of(Pid(*pid), object, "namespace.ipc", problem));
            }
        }
        Ok(())
    }

    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        own_spaces::each(tree, NsKind::Ipc, |space| {
            let mut all = Vec::new();
            for set in floe_proc::semaphore_sets()? {
                let Some((values, _)) = read(set.id, set.count)? else { continue };
                all.push(Semaphores {
                    space,
                    id: set.id,
                    key: set.key,
                    mode: set.mode & 0o777,
                    owner: set.owner,
                    creator: set.creator,
                    values,
                });
            }
            Ok(all)
        })
    }
}

/// `None` for one that has just been removed.
fn read(id: u32, count: u64) -> Result<Option<(Vec<u16>, Vec<u32>)>> {
    match floe_sys::semaphore_values(id, count as usize) {
        Err(e) if matches!(e.errno(), Some(libc::EIDRM | libc::EINVAL)) => Ok(None),
        read => Ok(Some(read?)),
    }
}
