//! What is in namespaces of the tree's own: looked at from inside.

use crate::Result;
use floe_records::{Namespace, Namespaces, NsId, NsKind, Pid, Tree};
use floe_sys::Error;
use nix::sched::{CloneFlags, setns};
use std::{collections::BTreeMap, fs::File};

/// A namespace that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnSpace {
    /// The root of the tree, which is a member of it.
    pub pid: u32,
    pub kind: NsKind,
    /// The tree stands still, and waits for us.
    pub still: bool,
}

/// Gathers something from each namespace of a kind that is the tree's own, in a thread that is a member of it.
pub(crate) fn each<T: Send>(
    tree: &Tree,
    kind: NsKind,
    look: impl Fn(NsId) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    if tree.options().empty.contains(&kind) {
        return Ok(all);
    }
    for (id, member) in members(tree, kind) {
        all.extend(within(member.0, kind, || look(id))?);
    }
    Ok(all)
}

/// The namespaces of a kind that are the tree's own, each with a process in it.
pub(crate) fn members(tree: &Tree, kind: NsKind) -> impl Iterator<Item = (NsId, Pid)> {
    let own = move |space: &&Namespace| space.kind == kind && !space.inherited;
    let spaces = tree.all::<Namespace>().iter().filter(own);
    spaces.filter_map(move |space| {
        let is_member = |members: &&Namespaces| {
            members.all().iter().any(|(name, id)| *name == kind.name() && *id == space.id)
        };
        let member = tree.all::<Namespaces>().iter().find(is_member)?;
        Some((space.id, member.pid))
    })
}

/// Our own namespace of a kind, and the others that processes are in, by their numbers.
pub(crate) fn others(
    pids: &[Pid],
    kind: NsKind,
) -> floe_sys::Result<(Option<u64>, BTreeMap<u64, File>)> {
    let own = floe_proc::namespace(std::process::id(), kind.name())?;
    let mut all = BTreeMap::new();
    for pid in pids {
        let Ok(Some(number)) = floe_proc::namespace(pid.0, kind.name()) else { continue };
        if Some(number) == own || all.contains_key(&number) {
            continue;
        }
        // One that has just ended is in none.
        if let Ok(space) = File::open(floe_proc::path(pid.0, &format!("ns/{}", kind.name()))) {
            all.insert(number, space);
        }
    }
    Ok((own, all))
}

/// Does something in the namespace of a process.
pub(crate) fn within<T: Send>(
    pid: u32,
    kind: NsKind,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    if floe_proc::namespace(pid, kind.name())?
        == floe_proc::namespace(std::process::id(), kind.name())?
    {
        return work();
    }
    let name = format!("ns/{}", kind.name());
    let file = File::open(floe_proc::path(pid, &name));
    let file = file.map_err(|e| floe_proc::unable(pid, &name, e))?;
    floe_sys::apart("look into its namespaces", || {
        setns(file, CloneFlags::empty())
            .map_err(|e| Error::new(format!("enter its {} namespace", kind.name()), e).pid(pid))?;
        work()
    })
}
