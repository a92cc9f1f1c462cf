//! The lock on the network of the tree's TCP connections, which is left behind when the tree is killed.

use crate::Resource;
use serde::{Deserialize, Serialize};

/// That lock. Until `restore` removes it, the system drops all segments of these connections: the peers would be told otherwise
/// that there are none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkLock {
    /// Its table of nf_tables is `floe-` and these 16 hexadecimal digits.
    pub id: u64,
}

impl Resource for NetworkLock {
    type Key = ();
    fn key(&self) {}
}
