//! Namespaces of a tree: those of its root may be its own, and so may others below it.

use crate::{
    Result,
    files::Files,
    namespace::space::number,
    origin::{self, Origin},
    own_spaces::OwnSpace,
    resource,
    rule::{
        cgroup_spaces::CgroupSpaces, mounts::MountSpaces, pid_spaces::PidSpaces,
        spaces_below::SpacesBelow, user_spaces::UserSpaces,
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
const ENTERED: [NsKind; 4] = [NsKind::Pid, NsKind::Net, NsKind::Ipc, NsKind::Uts];

/// The namespaces that have been met. Of time namespaces a rule of its own knows more.
pub(crate) struct Spaces {
    /// Mount namespaces.
    pub mounts: MountSpaces,
    cgroups: CgroupSpaces,
    below: SpacesBelow,
    pids: PidSpaces,
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
            pids: PidSpaces::default(),
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
        self.pids.check(self.root.unwrap_or_default(), &self.users, out)?;
        self.mounts.check(&self.pids.below(), out)
    }

    /// The same of processes that run. Gives what would be lost and is seen by processes of our own, which cannot be had later.
    pub fn check_running(&mut self, out: &mut Findings) -> Result<Vec<Finding>> {
        let mut users = Findings::default();
        self.users.look_into(&mut users)?;
        out.lost.extend(users.lost.iter().cloned());
        self.check(out)?;
        Ok(users.lost)
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
        self.pids.add(process, out)?;
        // The pid namespace of its children has no name before the first of them is there.
        let nameless = process.namespace("pid_for_children").is_none();
        if nameless && process.namespace(NsKind::Mnt.name()).is_some() {
            self.awaited(process, out);
        }
        for kind in ENTERED {
            let ours = NAMESPACES.iter().zip(self.ours).find(|(name, _)| **name == kind.name());
            let Some(id) = process.namespace(kind.name()) else { continue };
            if ours.is_some_and(|(_, ours)| ours == Some(id)) {
                continue;
            }
            match process.pid == root {
                true => {
                    let problem = "it is not the one of freeze";
                    let object = format!("{} namespace", kind.name());
                    let finding = Finding::of(Pid(process.pid), object, "namespace", problem);
                    out.refuse(finding.hint("run freeze inside that namespace (nsenter)"));
                }
                false if kind == NsKind::Pid => {}
                false => self.below.add(kind, id, process),
            }
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
