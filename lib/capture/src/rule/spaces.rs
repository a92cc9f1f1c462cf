//! Namespaces of a tree: those of its root may be its own, and all others must be those of the root.

use crate::{
    Result,
    files::Files,
    namespace::space::number,
    origin::{self, Origin},
    own_spaces::OwnSpace,
    resource,
    rule::{
        cgroup_spaces::CgroupSpaces, mounts::MountSpaces, spaces_below::SpacesBelow,
        user_spaces::UserSpaces,
    },
    subject::{Inodes, NAMESPACES, Process},
};
use floe_proc::{namespaces_of, unable};
use floe_records::{Finding, Findings, NsKind, Options, Pid};
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Those that freeze has entered, or was in: it must be where the root is.
const ENTERED: [&str; 5] = ["pid", "pid_for_children", "net", "ipc", "uts"];
/// Those of them of which there may be others in a tree.
const BELOW: [NsKind; 3] = [NsKind::Net, NsKind::Ipc, NsKind::Uts];

/// The namespaces that have been met. Of time namespaces a rule of its own knows more.
pub(crate) struct Spaces {
    /// Mount namespaces.
    pub mounts: MountSpaces,
    cgroups: CgroupSpaces,
    below: SpacesBelow,
    root: Option<u32>,
    users: UserSpaces,
    ours: Inodes,
    origin: &'static Origin,
    /// Kinds whose contents are no matter of the checkpoint.
    empty: Vec<NsKind>,
}

impl Spaces {
    /// Where we are; none has been met.
    pub fn here(options: &Options) -> Result<Self> {
        let ours = namespaces_of(std::process::id(), NAMESPACES)?;
        let origin = origin::all()?;
        let (mounts, cgroups) = (MountSpaces::default(), CgroupSpaces::default());
        let empty = options.empty.clone();
        let below = SpacesBelow::default();
        Ok(Self {
            mounts,
            cgroups,
            below,
            root: None,
            users: UserSpaces::default(),
            ours,
            origin,
            empty,
        })
    }

    /// Looks at what is in those that were met.
    pub fn check(&mut self, out: &mut Findings) -> Result<()> {
        self.users.check(out)?;
        self.cgroups.check(&self.users, out)?;
        self.below.check(&self.users, &self.empty, out)?;
        self.mounts.check(out)
    }

    /// Looks at what descriptors lead to.
    pub fn look(&self, files: &Files, out: &mut Findings) {
        self.mounts.look(files, out);
    }

    /// What is in namespaces of the tree's own; those that we have not entered are refused anyway.
    fn contents(&self, root: &Process<'_>, out: &mut Findings) -> Result<()> {
        for kind in [NsKind::Net, NsKind::Ipc].into_iter().filter(|it| !self.empty.contains(it)) {
            let theirs = root.namespace(kind.name());
            let ours = NAMESPACES.iter().zip(self.ours).find(|(name, _)| **name == kind.name());
            let entered = theirs.is_some() && ours.is_some_and(|(_, ours)| ours == theirs);
            if entered && theirs != self.origin.get(&kind).copied() {
                let still = !root.threads.is_empty();
                resource::look_into(&OwnSpace { pid: root.pid, kind, still }, out)?;
            }
        }
        Ok(())
    }

    /// Looks at a pid namespace that a process has made for its children, and that nobody is in yet. Each thread makes its own,
    /// which belongs to the user namespace that it is in then; it may have gone into one further inside since, but not out of one.
    fn awaited(&self, process: &Process<'_>, out: &mut Findings) {
        let problem = if process.tasks.len() > 1 {
            "it awaits its first process, and is that of one thread among others"
        } else if process.namespace("user") != self.origin.get(&NsKind::User).copied() {
            "it awaits its first process, and which user namespace owns it cannot be told"
        } else {
            return;
        };
        let object = "pid_for_children namespace";
        out.refuse(Finding::of(Pid(process.pid), object, "namespace", problem));
    }

    /// Looks at those of a process; the first one is the root.
    pub fn add(&mut self, process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let root = *self.root.get_or_insert(process.pid);
        self.mounts.add(process);
        self.cgroups.add(process);
        self.users.add(process, out)?;
        let mount = process.namespace("mnt");
        for (name, ours) in NAMESPACES.into_iter().zip(self.ours) {
            let theirs = process.namespace(name);
            // The pid namespace of its children has no name before the first of them is there.
            let nameless = theirs.is_none() && mount.is_some();
            let differs = nameless || theirs.is_some_and(|theirs| Some(theirs) != ours);
            if !differs || !ENTERED.contains(&name) {
                continue;
            }
            let kind = BELOW.into_iter().find(|kind| kind.name() == name);
            if let Some((kind, id)) = kind.zip(theirs).filter(|_| process.pid != root) {
                self.below.add(kind, id, process);
                continue;
            }
            if nameless && name == "pid_for_children" {
                self.awaited(process, out);
                continue;
            }
            let (problem, hint) = match process.pid != root {
                true => ("it is not that of the root", "freeze the tree of a process in it"),
                false => {
                    ("it is not the one of freeze", "run freeze inside that namespace (nsenter)")
                }
            };
            let object = format!("{name} namespace");
            out.refuse(Finding::of(Pid(process.pid), object, "namespace", problem).hint(hint));
        }
        if process.pid == root {
            self.contents(process, out)?;
        }
        Ok(())
    }
}

/// The user namespace that owns a namespace of a process.
pub(crate) fn owner(pid: u32, name: &str) -> Result<Option<u64>> {
    relative(pid, name, floe_sys::namespace_owner)
}

/// Inode number of a namespace that ioctl_ns(2) leads to; `None` where it is not to be seen.
fn relative(
    pid: u32,
    name: &str,
    way: impl Fn(BorrowedFd<'_>) -> floe_sys::Result<OwnedFd>,
) -> Result<Option<u64>> {
    let file = format!("ns/{name}");
    let open = File::open(floe_proc::path(pid, &file)).map_err(|e| unable(pid, &file, e))?;
    Ok(way(open.as_fd()).ok().and_then(number).map(|id| id.0))
}
