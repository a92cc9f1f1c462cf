//! What is mounted in a mount namespace of the tree that is not the one of `freeze` (mount_namespaces(7)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure, sane};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All mounts of a mount namespace. Written by `dumpmnt`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountTree {
    /// The namespace.
    pub id: NsId,
    /// Its mounts, 1 to 100,000 (sysctl fs.mount-max), each behind the one that it is mounted on; the first one is the root.
    pub mounts: Vec<MountPoint>,
    /// The file systems that they show, each once.
    pub systems: Vec<MountedSystem>,
    /// Peer groups that have members in the namespace of `freeze`.
    pub outside: Vec<OutsideGroup>,
}

/// A mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountPoint {
    /// Names it in its namespace, not 0.
    pub id: u32,
    /// The one that it is mounted on; 0 for the root.
    pub parent: u32,
    /// Mount point, from the root of the namespace.
    pub point: Bytes,
    /// Device of its file system, as makedev(3) packs it.
    pub dev: u64,
    /// The part of that file system that it shows, `/` for all.
    pub root: Bytes,
    /// Its own options as mountinfo shows them: `rw,nosuid,relatime`.
    pub flags: Bytes,
    /// Its peer group.
    pub peers: Option<u32>,
    /// The peer group above it.
    pub master: Option<u32>,
    /// It cannot be bound.
    pub unbindable: bool,
}

/// A file system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountedSystem {
    /// Its device.
    pub dev: u64,
    /// Its type.
    pub fs_type: Bytes,
    /// What was named as the device.
    pub source: Bytes,
    /// Options of the super block as mountinfo shows them, escaped.
    pub options: Bytes,
    /// Mounts of it in the namespace of `freeze`, 16 at most, those that show most of it first; for none it is mounted anew.
    pub outside: Vec<OutsideMount>,
    /// Its files stand in [`FileTree`](crate::FileTree) records.
    pub carried: bool,
}

/// A mount of a file system in the namespace of `freeze`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideMount {
    /// Where.
    pub point: Bytes,
    /// The part that it shows.
    pub root: Bytes,
}

/// A peer group with a member in the namespace of `freeze`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideGroup {
    /// Its number.
    pub group: u32,
    /// Where a member is.
    pub point: Bytes,
}

impl MountTree {
    /// Most mounts.
    const MOST: usize = 100_000;

    /// Its root.
    pub fn root(&self) -> Option<&MountPoint> {
        self.mounts.first()
    }

    /// The part of a file system that the roots of some namespaces show: that of the one which shows most.
    pub fn root_part<'t>(all: impl IntoIterator<Item = &'t Self>, dev: u64) -> Option<&'t Bytes> {
        let roots = all.into_iter().filter_map(|tree| tree.root().filter(|root| root.dev == dev));
        roots.map(|root| &root.root).min_by_key(|root| root.0.len())
    }

    /// The file system of a device.
    pub fn system(&self, dev: u64) -> Option<&MountedSystem> {
        self.systems.iter().find(|system| system.dev == dev)
    }

    fn check_mounts(&self) -> Result<(), String> {
        let mut points: BTreeMap<u32, &[u8]> = BTreeMap::new();
        let devices: BTreeSet<u64> = self.systems.iter().map(|system| system.dev).collect();
        ensure(devices.len() == self.systems.len(), "a file system of it is there twice")?;
        for (at, mount) in self.mounts.iter().enumerate() {
            sane::path(&mount.point)?;
            // Of nsfs a name, such as `net:[4026531840]`.
            sane::text(&mount.root)?;
            sane::text(&mount.flags)?;
            ensure(devices.contains(&mount.dev), "a mount shows a file system that is not there")?;
            if at == 0 {
                ensure(mount.parent == 0 && mount.point.0 == b"/", "its first mount is no root")?;
            } else {
                let on = points.get(&mount.parent).copied();
                let on = on.ok_or("a mount is on one that is not there")?;
                ensure(below(&mount.point.0, on).is_some(), "a mount is not where its parent is")?;
            }
            let new = mount.id != 0 && points.insert(mount.id, &mount.point.0).is_none();
            ensure(new, "a mount is there twice")?;
        }
        Ok(())
    }
}

/// What is left of a path below another one; nothing where they are the same.
fn below<'p>(path: &'p [u8], top: &[u8]) -> Option<&'p [u8]> {
    if top == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    path.strip_prefix(top).filter(|rest| matches!(rest, [] | [b'/', ..]))
}

impl MountPoint {
    /// Where it is from the top of the mount that it is on; empty for the top itself.
    pub fn below(&self, parent: &MountPoint) -> Option<&[u8]> {
        below(&self.point.0, &parent.point.0)
    }

    /// What it shows, from the root of another mount of the same file system; `None` where that does not show it.
    pub fn part_of(&self, root: &Bytes) -> Option<&[u8]> {
        below(&self.root.0, &root.0)
    }
}

impl Resource for MountTree {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Mnt));
    }

    fn check(&self) -> Result<(), String> {
        ensure((1..=Self::MOST).contains(&self.mounts.len()), "it has no mount, or too many")?;
        ensure(self.systems.len() <= self.mounts.len(), "it has too many file systems")?;
        ensure(self.outside.len() <= self.mounts.len() * 2, "it has too many peer groups")?;
        self.check_mounts()?;
        for system in &self.systems {
            sane::text(&system.fs_type)?;
            sane::text(&system.source)?;
            ensure(!system.options.0.contains(&0), "its options have a zero byte")?;
            ensure(system.outside.len() <= 16, "it is mounted too often")?;
            for mount in &system.outside {
                sane::path(&mount.point)?;
                sane::text(&mount.root)?;
            }
        }
        self.outside.iter().try_for_each(|group| sane::path(&group.point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u32, parent: u32, point: &str) -> MountPoint {
        MountPoint {
            id,
            parent,
            point: point.into(),
            dev: 1,
            root: "/".into(),
            flags: "rw".into(),
            peers: None,
            master: None,
            unbindable: false,
        }
    }

    fn tree(mounts: &[MountPoint]) -> MountTree {
        let system = MountedSystem {
            dev: 1,
            fs_type: "tmpfs".into(),
            source: "none".into(),
            options: "rw".into(),
            outside: Vec::new(),
            carried: false,
        };
        MountTree {
            id: NsId(4),
            mounts: mounts.to_vec(),
            systems: vec![system],
            outside: Vec::new(),
        }
    }

    #[test]
    fn mounts_are_on_each_other() {
        let (root, a) = (mount(1, 0, "/"), mount(2, 1, "/a"));
        let says = |mounts: &[MountPoint]| tree(mounts).check();
        assert_eq!(
            says(&[root.clone(), a.clone(), mount(3, 2, "/a"), mount(4, 2, "/a/b")]),
            Ok(())
        );
        for wrong in [
            vec![],
            vec![a.clone()],
            vec![root.clone(), root.clone()],
            vec![root.clone(), mount(3, 2, "/a/b"), a.clone()],
            vec![root.clone(), a.clone(), mount(3, 2, "/ab")],
            vec![root.clone(), mount(3, 3, "/ab")],
            vec![root.clone(), MountPoint { dev: 2, ..a.clone() }],
        ] {
            assert!(says(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn places_are_told_from_each_other() {
        let root = mount(1, 0, "/");
        let (a, b) = (mount(2, 1, "/a"), mount(3, 2, "/a/b"));
        assert_eq!(
            (a.below(&root), b.below(&a), a.below(&a)),
            (Some(&b"/a"[..]), Some(&b"/b"[..]), Some(&b""[..]))
        );
        let part = MountPoint { root: "/x/y".into(), ..a };
        assert_eq!(part.part_of(&"/x".into()), Some(&b"/y"[..]));
        assert_eq!(part.part_of(&"/".into()), Some(&b"/x/y"[..]));
        assert_eq!(
            (part.part_of(&"/x/y".into()), part.part_of(&"/x/yz".into())),
            (Some(&b""[..]), None)
        );
    }
}
