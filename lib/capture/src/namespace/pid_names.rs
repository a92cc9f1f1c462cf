//! Ids of tasks in pid namespaces below the one of the root: the lines NSpid, NSpgid and NSsid of /proc/PID/status.

use crate::{Result, namespace::space::number, resource::OfNamespace, subject::tids};
use floe_proc::{Status, unable};
use floe_records::{Namespaces, NsId, Pid, PidNames, Process, Tree};
use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

impl OfNamespace for PidNames {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let root = tree.root_pids();
        let mut all: BTreeMap<NsId, BTreeMap<u32, u32>> = BTreeMap::new();
        for process in tree.all::<Process>() {
            let own = tree.get::<Namespaces>(process.pid).map(|all| all.pid_ns);
            if own == Some(root) {
                continue;
            }
            // What has ended has no record of its namespaces.
            let spaces = spaces_below(process.pid, root)?;
            let mut note = |names: Vec<u32>| {
                let inside = names.get(1..).unwrap_or_default();
                // The leader of a group, or of a session, may be in one further outside.
                for (space, name) in spaces.iter().zip(inside).filter(|(_, name)| **name != 0) {
                    all.entry(*space).or_default().insert(names[0], *name);
                }
            };
            for tid in tids(process.pid.0)?.into_iter().filter(|_| !spaces.is_empty()) {
                let status = Status::of(tid)?;
                for line in ["NSpid", "NSpgid", "NSsid"] {
                    note(status.numbers(line)?);
                }
            }
        }
        let record = |(id, names): (NsId, BTreeMap<u32, u32>)| PidNames {
            id,
            names: names.into_iter().collect(),
        };
        Ok(all.into_iter().map(record).collect())
    }
}

/// The pid namespaces of a process that lie in another one, the outermost first.
fn spaces_below(pid: Pid, root: NsId) -> Result<Vec<NsId>> {
    let (_, space) = open(pid)?;
    let mut all = Vec::new();
    let mut next = Some(space);
    while let Some(space) = next {
        let around = floe_sys::namespace_parent(space.as_fd()).ok();
        let Some(id) = number(space).filter(|id| *id != root) else { break };
        all.insert(0, id);
        next = around;
    }
    Ok(all)
}

/// The pid namespace of a process, which may have ended.
pub(crate) fn open(Pid(pid): Pid) -> Result<(NsId, OwnedFd)> {
    const NAME: &str = "ns/pid";
    let file = File::open(floe_proc::path(pid, NAME)).map_err(|e| unable(pid, NAME, e))?;
    let same = file.try_clone().map_err(|e| unable(pid, NAME, e))?;
    let id = number(same.into()).ok_or_else(|| unable(pid, NAME, std::io::ErrorKind::NotFound))?;
    Ok((id, file.into()))
}
