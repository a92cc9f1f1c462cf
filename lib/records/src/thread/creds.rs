//! Credentials of a thread (credentials(7), capabilities(7)).

use crate::{Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};

/// Who a thread is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creds {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Real, effective, saved and file-system user id.
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group id.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capability sets: inheritable, permitted, effective, bounding, ambient.
    pub caps: [u64; 5],
    /// PR_GET_SECUREBITS.
    pub securebits: u32,
    /// PR_GET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
}

impl Resource for Creds {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        // NGROUPS_MAX.
        ensure(self.groups.len() <= 65_536, "it has more groups than it can")
    }
}
