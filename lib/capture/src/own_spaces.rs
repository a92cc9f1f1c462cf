//! What is in namespaces of the tree's own: looked at from inside.

use crate::Result;
use floe_records::{Namespace, Namespaces, NsId, NsKind, Tree};
use floe_sys::Error;
use nix::sched::{CloneFlags, setns};
use std::fs::File;

/// Gathers something from each namespace of a kind that is the tree's own, in a thread that is a member of it.
pub(crate) fn each<T: Send>(
    tree: &Tree,
    kind: NsKind,
    look: impl Fn(NsId) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for space in tree.all::<Namespace>().iter().filter(|it| it.kind == kind && !it.inherited) {
        let is_member = |members: &&Namespaces| {
            members.all().iter().any(|(name, id)| *name == kind.name() && *id == space.id)
        };
        // One that nobody is a member of is no namespace of the tree.
        let Some(member) = tree.all::<Namespaces>().iter().find(is_member) else { continue };
        all.extend(within(member.pid.0, kind, || look(space.id))?);
    }
    Ok(all)
}

/// Does something in the namespace of a process.
fn within<T: Send>(pid: u32, kind: NsKind, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if floe_proc::namespace(pid, kind.name())?
        == floe_proc::namespace(std::process::id(), kind.name())?
    {
        return work();
    }
    let name = format!("ns/{}", kind.name());
    let file = File::open(floe_proc::path(pid, &name));
    let file = file.map_err(|e| floe_proc::unable(pid, &name, e))?;
    let work = || {
        setns(file, CloneFlags::empty())
            .map_err(|e| Error::new(format!("enter its {} namespace", kind.name()), e).pid(pid))?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work);
        let thread = thread.map_err(|e| Error::new("start a thread", e))?;
        let failed = |_| Error::because("look into its namespaces", "the thread has failed");
        thread.join().map_err(|e| failed(e).pid(pid))?
    })
}
