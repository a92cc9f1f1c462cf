//! The namespaces that a process is a member of (namespaces(7)).

use crate::{Link, NsId, NsKind, Pid, Resource};
use serde::{Deserialize, Serialize};

/// A namespace of each kind; each has a [`Namespace`](crate::Namespace) record of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names below /proc/PID/ns")]
pub struct Namespaces {
    /// Thread group.
    pub pid: Pid,
    pub cgroup: NsId,
    pub ipc: NsId,
    pub mnt: NsId,
    pub net: NsId,
    pub pid_ns: NsId,
    pub pid_for_children: NsId,
    pub time: NsId,
    pub time_for_children: NsId,
    pub user: NsId,
    pub uts: NsId,
}

impl Namespaces {
    /// What stands for the pid namespace of the children where none of them is there yet: it has no number before its init is.
    pub const AWAITED: NsId = NsId(0);

    /// Whether the next child is to be the init of a new pid namespace (CLONE_NEWPID of unshare(2)).
    pub fn awaits_init(&self) -> bool {
        self.pid_for_children == Self::AWAITED
    }

    /// The pid namespace of its children, where that is there and not its own.
    pub fn entered(&self) -> Option<NsId> {
        let other = self.pid_for_children != self.pid_ns && !self.awaits_init();
        other.then_some(self.pid_for_children)
    }

    /// That of a kind.
    pub fn of(&self, kind: NsKind) -> NsId {
        match kind {
            NsKind::Cgroup => self.cgroup,
            NsKind::Ipc => self.ipc,
            NsKind::Mnt => self.mnt,
            NsKind::Net => self.net,
            NsKind::Pid => self.pid_ns,
            NsKind::Time => self.time,
            NsKind::User => self.user,
            NsKind::Uts => self.uts,
        }
    }

    /// Every namespace with its name below /proc/PID/ns.
    pub fn all(&self) -> [(&'static str, NsId); 10] {
        [
            ("cgroup", self.cgroup),
            ("ipc", self.ipc),
            ("mnt", self.mnt),
            ("net", self.net),
            ("pid", self.pid_ns),
            ("pid_for_children", self.pid_for_children),
            ("time", self.time),
            ("time_for_children", self.time_for_children),
            ("user", self.user),
            ("uts", self.uts),
        ]
    }
}

impl Resource for Namespaces {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        let awaited = |name: &str| name == "pid_for_children" && self.awaits_init();
        for (name, id) in self.all().into_iter().filter(|(name, _)| !awaited(name)) {
            let of_kind =
                |kind: &&NsKind| name.strip_suffix("_for_children").unwrap_or(name) == kind.name();
            let kind = NsKind::ALL.iter().find(of_kind);
            kind.iter().for_each(|kind| visit(Link::Namespace(id, **kind)));
        }
    }
}
