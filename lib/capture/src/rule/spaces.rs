//! Namespaces of a tree: those of its root may be its own, and all others must be those of the root.

use crate::{
    Result, origin,
    rule::mounts::MountSpaces,
    subject::{Inodes, NAMESPACES, Process},
};
use floe_proc::namespaces_of;
use floe_records::{Finding, Findings, NsKind, Pid};
use std::collections::BTreeMap;

/// Those that freeze has entered, or was in: it must be where the root is.
const ENTERED: [&str; 5] = ["pid", "pid_for_children", "net", "ipc", "uts"];
/// Those that are not recreated yet.
const OF_FREEZE: [&str; 2] = ["user", "cgroup"];

/// The namespaces that have been met. Of time namespaces a rule of its own knows more.
#[derive(Debug)]
pub(crate) struct Spaces {
    root: Option<u32>,
    ours: Inodes,
    /// Mount namespaces.
    pub mounts: MountSpaces,
    origin: BTreeMap<NsKind, u64>,
}

impl Spaces {
    /// Where we are; none has been met.
    pub fn here() -> Result<Self> {
        let ours = namespaces_of(std::process::id(), NAMESPACES)?;
        let origin = origin::all()?;
        Ok(Self { root: None, ours, mounts: MountSpaces::default(), origin })
    }

    /// What is in namespaces of the tree's own, and does not come back.
    fn contents(&self, root: &Process<'_>, out: &mut Findings) {
        let net = "its interfaces, addresses, routes and rules do not come back, and its loopback interface is down";
        let ipc = "what is in it does not come back but for memory that the tree has attached and queues that it has open";
        for (kind, problem) in [(NsKind::Net, net), (NsKind::Ipc, ipc)] {
            let theirs = root.namespace(kind.name());
            if theirs.is_some() && theirs != self.origin.get(&kind).copied() {
                let object = format!("{} namespace", kind.name());
                let finding = Finding::of(Pid(root.pid), object, "namespace.contents", problem);
                out.lose(finding.hint(format!("--join {}=PATH", kind.name())));
            }
        }
    }

    /// Looks at those of a process; the first one is the root.
    pub fn add(&mut self, process: &Process<'_>, out: &mut Findings) {
        self.mounts.add(process);
        let root = *self.root.get_or_insert(process.pid);
        let mount = process.namespace("mnt");
        for (name, ours) in NAMESPACES.into_iter().zip(self.ours) {
            let (entered, of_freeze) = (ENTERED.contains(&name), OF_FREEZE.contains(&name));
            let theirs = process.namespace(name);
            // The pid namespace of its children has no name before the first of them is there.
            let nameless = theirs.is_none() && mount.is_some();
            let differs = nameless || theirs.is_some_and(|theirs| Some(theirs) != ours);
            if !differs || !(entered || of_freeze) {
                continue;
            }
            let of_root = process.pid != root && entered;
            let (problem, hint) = match of_root {
                true => ("it is not that of the root", "freeze the tree of a process in it"),
                false => {
                    ("it is not the one of freeze", "run freeze inside that namespace (nsenter)")
                }
            };
            let object = format!("{name} namespace");
            out.refuse(Finding::of(Pid(process.pid), object, "namespace", problem).hint(hint));
        }
        if process.pid == root {
            self.contents(process, out);
        }
    }
}
