//! Namespaces of a tree: those of its root may be its own, and all others must be those of the root.

use crate::{
    Result,
    files::Files,
    namespace::{self, space::number},
    origin::{self, Origin},
    own_spaces::OwnSpace,
    resource,
    rule::{cgroup_spaces::CgroupSpaces, mounts::MountSpaces, spaces_below::SpacesBelow},
    subject::{Inodes, NAMESPACES, Process},
    tree::INIT,
};
use floe_proc::{namespaces_of, unable};
use floe_records::{Finding, Findings, IdMaps, NsKind, Options, Pid};
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
    /// Its user namespace, and what ids are called there where that is the tree's own.
    of_root: Option<u64>,
    maps: Option<IdMaps>,
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
            of_root: None,
            maps: None,
            ours,
            origin,
            empty,
        })
    }

    /// Looks at what is in those that were met.
    pub fn check(&mut self, out: &mut Findings) -> Result<()> {
        self.cgroups.check(out)?;
        self.below.check(&self.empty, out)?;
        self.mounts.check(out)
    }

    /// Looks at what descriptors lead to.
    pub fn look(&self, files: &Files, out: &mut Findings) {
        self.mounts.look(files, out);
        self.below.look(files, out);
    }

    /// A user namespace of the tree's own: restore has the root born in it as the init of a pid namespace, and so all ids
    /// that the tree had can be chosen.
    fn user(&mut self, process: &Process<'_>, root: u32, out: &mut Findings) -> Result<()> {
        let own = process.namespace("user");
        if own.is_none() || own == self.origin.get(&NsKind::User).copied() {
            return Ok(());
        }
        let mut refuse = |problem: &str, hint: &str| {
            let finding =
                Finding::of(Pid(process.pid), "user namespace", "namespace.user", problem);
            out.refuse(finding.hint(hint));
        };
        if process.pid != root {
            if own != self.of_root {
                refuse("it is not that of the root", "");
            }
        } else if relative(process.pid, "user", floe_sys::namespace_parent)?
            != self.origin.get(&NsKind::User).copied()
        {
            refuse("it lies in one that is not that of freeze", "run freeze in the one around it");
        } else if process.pid != INIT || owner(process.pid, "pid")? != own {
            let problem = "the root of the tree is not the init of a pid namespace that it owns";
            refuse(problem, "unshare(1): --user together with --pid --fork");
        }
        let maps = match &self.maps {
            Some(maps) => maps,
            // All are in the same one.
            None => self.maps.insert(namespace::user::maps(Pid(process.pid))?),
        };
        for thread in &process.tasks {
            let status = &thread.status;
            let mut users = status.ids("Uid")?.into_iter();
            let groups = status.ids("Gid")?.into_iter().chain(status.numbers("Groups")?);
            let id = users.find(|id| maps.user(*id).is_none());
            if let Some(id) = id.or_else(|| groups.into_iter().find(|id| maps.group(*id).is_none()))
            {
                refuse(
                    &format!("user or group {id} of thread {} has no name in it", thread.tid),
                    "",
                );
            }
        }
        Ok(())
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

    /// Looks at those of a process; the first one is the root.
    pub fn add(&mut self, process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let root = *self.root.get_or_insert(process.pid);
        if process.pid == root {
            self.of_root = process.namespace("user");
        }
        self.mounts.add(process);
        self.cgroups.add(process);
        self.user(process, root, out)?;
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
