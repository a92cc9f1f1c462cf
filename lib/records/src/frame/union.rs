//! Union mounts that the tree uses, so that restore can compare them and build them again.

use crate::{Bytes, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// A mount of AUFS or overlayfs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Union {
    /// Mount point, from the root of the mount namespace that it was captured in.
    pub point: Bytes,
    /// `aufs` or `overlay`.
    pub fs_type: Bytes,
    /// What was named as the device.
    pub source: Bytes,
    /// Options of the mount itself as mountinfo shows them (`rw,nosuid,noatime`).
    pub flags: Bytes,
    /// The part that is mounted, `/` for all.
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

    fn check(&self) -> Result<(), String> {
        let known = [&b"aufs"[..], b"overlay"].contains(&self.fs_type.0.as_slice());
        ensure(known, "it is of an unknown type of file system")?;
        sane::path(&self.point)?;
        for text in [&self.source, &self.flags, &self.root] {
            sane::text(text)?;
        }
        self.branches.iter().try_for_each(|(path, _)| sane::text(path))?;
        ensure(!self.options.0.contains(&0), "its options have a zero byte")
    }
}
