//! Namespaces (namespaces(7)).

use crate::{Bytes, NsId, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Kinds of namespaces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the manual page")]
pub enum NsKind {
    Cgroup,
    Ipc,
    Mnt,
    Net,
    Pid,
    Time,
    User,
    Uts,
}

impl NsKind {
    /// All eight.
    pub const ALL: [NsKind; 8] = [
        NsKind::Cgroup,
        NsKind::Ipc,
        NsKind::Mnt,
        NsKind::Net,
        NsKind::Pid,
        NsKind::Time,
        NsKind::User,
        NsKind::Uts,
    ];

    /// Those that can come back without what was in them.
    pub const EMPTY: [NsKind; 3] = [NsKind::Net, NsKind::Ipc, NsKind::Uts];

    /// One of [`NsKind::EMPTY`] by its name.
    ///
    /// # Errors
    /// What is wrong with another one, for people.
    pub fn empty(name: &str) -> Result<Self, String> {
        let found = Self::EMPTY.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| "it is none of net, ipc and uts".to_owned())
    }

    /// Its name below /proc/PID/ns.
    pub fn name(self) -> &'static str {
        match self {
            NsKind::Cgroup => "cgroup",
            NsKind::Ipc => "ipc",
            NsKind::Mnt => "mnt",
            NsKind::Net => "net",
            NsKind::Pid => "pid",
            NsKind::Time => "time",
            NsKind::User => "user",
            NsKind::Uts => "uts",
        }
    }
}

/// A namespace that a process of the tree is a member of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Inode number below /proc/PID/ns; unique at any one time.
    pub id: NsId,
    /// Its kind.
    pub kind: NsKind,
    /// The one around it, of pid and user namespaces (NS_GET_PARENT of ioctl_ns(2)); `None` where that is not to be seen.
    pub parent: Option<NsId>,
    /// The user namespace that owns it (NS_GET_USERNS); `None` where that is not to be seen.
    pub owner: Option<NsId>,
    /// It was that of `freeze` as well: the one of `restore` takes its place.
    pub inherited: bool,
    /// It is the one that the system was started with, whose number a reboot may change.
    pub initial: bool,
    /// A number that is given once in the life of a system, where the kernel tells it (NS_GET_ID, NS_GET_MNTNS_ID, SO_NETNS_COOKIE).
    pub cookie: Option<u64>,
    /// Of a mount namespace: what is mounted there, but for what the kernel shows of itself, by ascending mount point.
    pub mounts: Vec<NsMount>,
}

/// What is mounted at a place: by this, mount namespaces that are copies of each other are told from others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NsMount {
    /// Mount point, from the root of the namespace.
    pub point: Bytes,
    /// Type of the file system.
    pub fs_type: Bytes,
    /// The part of the file system that is mounted, `/` for all.
    pub root: Bytes,
    /// Device of the file system, as makedev(3) packs it.
    pub dev: u64,
}

impl Resource for Namespace {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.id.0 != 0, "it has no number")
    }
}
