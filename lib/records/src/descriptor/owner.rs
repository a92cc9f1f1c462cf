//! Who gets SIGIO (fcntl(2), F_SETOWN_EX and F_SETSIG).

use crate::{Attached, FileId, Property, Resource, SIGNALS, ensure};
use serde::{Deserialize, Serialize};

/// Owner of an open file description.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The open file description.
    pub file: FileId,
    /// F_OWNER_TID 0, F_OWNER_PID 1, F_OWNER_PGRP 2.
    pub kind: i32,
    /// Thread, process or process group; 0 for none.
    pub id: u32,
    /// F_GETSIG, 0 for SIGIO.
    pub signal: i32,
    /// Real and effective user of who named the owner (F_GETOWNER_UIDS), whose right to send a signal counts; `None` of a kernel
    /// that keeps them to itself.
    pub uids: Option<[u32; 2]>,
}

impl Resource for Owner {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure((0..=2).contains(&self.kind), "its owner is of an unknown kind")?;
        ensure((0..=SIGNALS as i32).contains(&self.signal), "it has a signal that there is not")
    }
}

impl Property for Owner {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
