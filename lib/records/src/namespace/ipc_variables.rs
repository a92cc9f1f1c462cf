//! Variables of an IPC namespace (proc_sys_kernel(5), mq_overview(7)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// All variables of an IPC namespace of the tree's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpcVariables {
    /// The namespace.
    pub id: NsId,
    /// Path below /proc/sys, and value, without the line break at its end.
    pub all: Vec<(Bytes, Bytes)>,
}

impl IpcVariables {
    /// All that there may be, below /proc/sys.
    pub const NAMES: [&'static str; 14] = [
        "fs/mqueue/msg_default",
        "fs/mqueue/msg_max",
        "fs/mqueue/msgsize_default",
        "fs/mqueue/msgsize_max",
        "fs/mqueue/queues_max",
        "kernel/auto_msgmni",
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shm_rmid_forced",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
    ];
}

impl Resource for IpcVariables {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Ipc));
    }

    fn check(&self) -> Result<(), String> {
        let known = |(name, value): &(Bytes, Bytes)| {
            Self::NAMES.iter().any(|known| known.as_bytes() == name.0) && value.0.len() <= 4096
        };
        let few = self.all.len() <= Self::NAMES.len();
        ensure(few && self.all.iter().all(known), "a variable of it is none of an IPC namespace")
    }
}
