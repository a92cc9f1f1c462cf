//! Where restore itself is: in which namespaces, since which start of the system.

use floe_records::{Bytes, Namespace, NsKind, NsMount, Tree};
use floe_sys::{Error, Result};
use std::{collections::BTreeMap, fs::File, os::fd::AsFd};

/// Kinds of namespaces of which one stands for another without harm: process ids can be chosen, and of the others a tree sees
/// another host name, other clocks (which go on as the machine's do anyway) or another view of its control groups.
const HARMLESS: [NsKind; 4] = [NsKind::Cgroup, NsKind::Pid, NsKind::Time, NsKind::Uts];

/// The namespaces of restore and the system that it runs on.
#[derive(Clone, Debug)]
pub struct Here {
    boot_id: Bytes,
    own: BTreeMap<NsKind, Own>,
    mounts: Vec<NsMount>,
}

/// A namespace of ours.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// Its inode number, which may be given again when it is gone.
    id: u64,
    /// The one that the system was started with.
    initial: bool,
    /// A number of it that is not given again, where the kernel tells one.
    cookie: Option<u64>,
}

impl Own {
    fn read(kind: NsKind) -> Result<Option<Self>> {
        let Some(id) = floe_proc::namespace(std::process::id(), kind.name())? else {
            return Ok(None);
        };
        let path = format!("/proc/self/ns/{}", kind.name());
        let file = File::open(&path).map_err(|e| Error::new(format!("open {path}"), e))?;
        let cookie = floe_sys::namespace_cookie(file.as_fd(), kind == NsKind::Net);
        let initial = floe_proc::is_initial_namespace(kind.name(), id)?;
        Ok(Some(Self { id, initial, cookie }))
    }
}

impl Here {
    /// Reads it, of the calling process as it is now.
    ///
    /// # Errors
    /// Where /proc cannot be read.
    pub fn read() -> Result<Self> {
        let text =
            |path: &str| std::fs::read(path).map_err(|e| Error::new(format!("read {path}"), e));
        let mut own = BTreeMap::new();
        for kind in NsKind::ALL {
            own.extend(Own::read(kind)?.map(|own| (kind, own)));
        }
        let mounts = floe_unions::lasting_mounts(&text("/proc/self/mountinfo")?).into_iter();
        let record = |mount: floe_unions::Mount| NsMount {
            point: mount.point.into(),
            fs_type: mount.fs_type.into(),
            root: mount.root.into(),
            dev: mount.dev,
        };
        Ok(Self {
            boot_id: text("/proc/sys/kernel/random/boot_id")?.trim_ascii_end().into(),
            own,
            mounts: mounts.map(record).collect(),
        })
    }

    /// Whether the system has not been started anew since a tree was captured, and is the same machine.
    pub(crate) fn is_same_boot(&self, tree: &Tree) -> bool {
        tree.begin().is_some_and(|begin| begin.boot_id == self.boot_id)
    }

    /// How our namespace differs from the one that a tree was in; `None` where ours may take its place.
    pub(crate) fn differs(&self, was: &Namespace, same_boot: bool) -> Option<String> {
        if self.is_in(was, same_boot)? || HARMLESS.contains(&was.kind) {
            return None;
        }
        match was.kind {
            NsKind::Mnt => self.other_mount(&was.mounts, same_boot),
            _ => Some("restore is in another one".to_owned()),
        }
    }

    /// Whether our namespace is the one that a tree was in; `None` where we have none of its kind.
    pub(crate) fn is_in(&self, was: &Namespace, same_boot: bool) -> Option<bool> {
        let own = self.own.get(&was.kind)?;
        let same_number = || match (was.cookie, own.cookie) {
            (Some(was), Some(own)) => was == own,
            // One that is gone may have had that number.
            _ => was.kind != NsKind::Mnt || self.other_mount(&was.mounts, true).is_none(),
        };
        let same = || same_boot && was.id.0 == own.id && same_number();
        Some((was.initial && own.initial) || same())
    }

    /// A place where something else is mounted for us. A namespace in which all is mounted in the same way is as good.
    fn other_mount(&self, was: &[NsMount], same_boot: bool) -> Option<String> {
        let by_point = |all: &[NsMount]| -> BTreeMap<Bytes, NsMount> {
            let plain = all.iter().map(|mount| NsMount {
                // Numbers of devices are given anew with each start.
                dev: if same_boot { mount.dev } else { 0 },
                ..mount.clone()
            });
            plain.map(|mount| (mount.point.clone(), mount)).collect()
        };
        let (was, now) = (by_point(was), by_point(&self.mounts));
        let other = was.iter().find(|(point, mount)| now.get(*point) != Some(mount));
        let new = || now.iter().find(|(point, _)| !was.contains_key(*point));
        let point = other.or_else(new).map(|(point, _)| point)?;
        Some(format!("restore is in another one, with something else at {point}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::NsId;

    fn mount(point: &str, root: &str, dev: u64) -> NsMount {
        NsMount { point: point.into(), fs_type: "ext4".into(), root: root.into(), dev }
    }

    fn here() -> Here {
        let own = Own { id: 9, initial: false, cookie: Some(5) };
        let own = NsKind::ALL.iter().map(|kind| (*kind, own)).collect();
        let mounts = vec![mount("/", "/", 1), mount("/tmp", "/t", 1)];
        Here { boot_id: "b".into(), own, mounts }
    }

    fn space(kind: NsKind, id: u64) -> Namespace {
        let (parent, owner, cookie, mounts) = (None, None, None, Vec::new());
        let (inherited, initial) = (true, false);
        Namespace { id: NsId(id), kind, parent, owner, inherited, initial, cookie, mounts }
    }

    #[test]
    fn a_number_tells_on_the_same_boot_only() {
        let here = here();
        for kind in [NsKind::Net, NsKind::Ipc, NsKind::User] {
            assert_eq!(here.differs(&space(kind, 9), true), None);
            assert!(here.differs(&space(kind, 9), false).is_some());
            assert!(here.differs(&space(kind, 8), true).is_some());
        }
        for kind in [NsKind::Net, NsKind::Ipc, NsKind::User, NsKind::Mnt] {
            let other = Namespace { cookie: Some(6), ..space(kind, 9) };
            assert!(here.differs(&other, true).is_some(), "a number that was given again");
        }
        // Where the kernel tells no cookie, a mount namespace is known by its mounts as well.
        assert_eq!(here.is_in(&space(NsKind::Mnt, 9), true), Some(false));
        assert_eq!(here.differs(&space(NsKind::Uts, 8), false), None);
    }

    #[test]
    fn initial_ones_are_the_same_on_every_system() {
        let mut here = here();
        let initial = Namespace { initial: true, ..space(NsKind::Net, 1) };
        assert!(here.differs(&initial, false).is_some());
        here.own.insert(NsKind::Net, Own { id: 2, initial: true, cookie: None });
        assert_eq!(here.differs(&initial, false), None);
    }

    #[test]
    fn mount_namespaces_are_told_by_what_is_mounted() {
        let here = here();
        let with =
            |mounts: &[NsMount]| Namespace { mounts: mounts.to_vec(), ..space(NsKind::Mnt, 7) };
        let says = |mounts: &[NsMount], same_boot| here.differs(&with(mounts), same_boot);
        let (root, tmp) = (mount("/", "/", 1), mount("/tmp", "/t", 1));
        assert_eq!(says(&[root.clone(), tmp.clone()], true), None);
        assert!(says(std::slice::from_ref(&root), true).unwrap().ends_with("at /tmp"));
        let private = mount("/tmp", "/private", 1);
        assert!(says(&[root.clone(), private], false).unwrap().ends_with("at /tmp"));
        let moved = [mount("/", "/", 3), mount("/tmp", "/t", 3)];
        assert!(says(&moved, true).is_some());
        assert_eq!(says(&moved, false), None);
        assert!(says(&[root, tmp, mount("/x", "/", 4)], true).unwrap().ends_with("at /x"));
    }
}
