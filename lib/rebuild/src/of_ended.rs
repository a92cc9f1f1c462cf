//! Directories in /proc of processes that have ended, as a sandbox has them for its root: nothing is to be found in them. They are those
//! of a process of ours, whose number is another one, and which is waited for when all that stand in them have gone there: behind
//! that the kernel lets nobody in. To be let in takes CAP_SYS_PTRACE over that process, so that it ends in the user namespace of the
//! first one that goes there.

use crate::{
    removed::{Made, RemovedNodes},
    users::Users,
};
use floe_records::*;
use floe_sys::{Ended, Error, Result};
use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
    sync::PoisonError,
};

/// Makes those of a root, below which `lookup` opens directories.
pub(crate) fn make(
    nodes: Vec<&RemovedNode>,
    lookup: &dyn Fn(&Bytes) -> Result<OwnedFd>,
    (tree, users): (&Tree, &Users<'_>),
    out: &mut RemovedNodes,
) -> Result<()> {
    let mut by_process: BTreeMap<Pid, Vec<(&RemovedNode, Bytes)>> = BTreeMap::new();
    for node in nodes {
        let none = || Error::because(format!("open {}", node.name.path), "it is of no process");
        let (pid, path) = node.of_ended().ok_or_else(none)?;
        by_process.entry(pid).or_default().push((node, path));
    }
    for of_one in by_process.into_values() {
        let first = of_one.first().and_then(|(node, _)| tree.get::<Namespaces>(node.pid));
        let ended = start(tree, first.and_then(|all| users.space(all.user)))?;
        for (node, path) in of_one {
            let of_it = format!("/proc/{}/", ended.pid()).into_bytes();
            let full = [of_it, of_leader(&path, &ended)].concat();
            out.made.insert(node.name.object(), Made::of_path(lookup(&full.into())?));
        }
        out.ended.get_mut().unwrap_or_else(PoisonError::into_inner).push(ended);
    }
    Ok(())
}

/// One that has ended, under a number that the tree does not have.
fn start(tree: &Tree, user: Option<BorrowedFd<'_>>) -> Result<Ended> {
    let taken = tree.ids();
    loop {
        let ended = Ended::start(0, user)?;
        ended.watch()?;
        if !taken.contains(&(ended.pid() as u32)) {
            return Ok(ended);
        }
    }
}

/// The path of a thread's directory, which is here that of the only thread there is.
fn of_leader(path: &Bytes, ended: &Ended) -> Vec<u8> {
    let Some(below) = path.0.strip_prefix(b"task/") else { return path.0.clone() };
    let rest = below.iter().position(|byte| *byte == b'/').map_or(&b""[..], |at| &below[at..]);
    [format!("task/{}", ended.pid()).as_bytes(), rest].concat()
}
