//! Union mounts that the tree uses, so that restore can compare them and build them again.

use crate::{Bytes, Resource};
use serde::{Deserialize, Serialize};

/// A mount of AUFS or overlayfs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Union {
    /// Mount point, from the root of the mount namespace of whoever captured it.
    pub point: Bytes,
    /// `aufs` or `overlay`.
    pub fs_type: Bytes,
    /// What was named as the device.
    pub source: Bytes,
    /// Options of the mount itself as mountinfo shows them (`rw,nosuid,noatime`).
    pub flags: Bytes,
    /// What of it is mounted, `/` for all.
    pub root: Bytes,
    /// Directory and permission with attributes (`rw`, `ro+wh`), topmost first.
    pub branches: Vec<(Bytes, Bytes)>,
    /// Options of the super block as mountinfo shows them, escaped.
    pub options: Bytes,
}

impl Resource for Union {
    type Key = Bytes;
    fn key(&self) -> Self::Key {
        self.point.clone()
    }
}
