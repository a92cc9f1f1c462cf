//! Who gets SIGIO (fcntl(2), F_SETOWN_EX and F_SETSIG).

use crate::{Attached, FileId, Property, Resource};
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
}

impl Resource for Owner {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }
}

impl Property for Owner {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
