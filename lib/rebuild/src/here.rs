//! Where restore itself is: in which namespaces, since which start of the system.

use floe_records::{Bytes, Namespace, NsKind, NsMount, Tree};
use floe_sys::{Error, Result};
use std::collections::BTreeMap;

/// Kinds of namespaces of which one stands for another without harm: process ids can be chosen, and of the others a tree sees
/// another host name, other clocks (which go on as the machine's do anyway) or another view of its control groups.
const HARMLESS: [NsKind; 4] = [NsKind::Cgroup, NsKind::Pid, NsKind::Time, NsKind::Uts];

/// The namespaces of restore and the system that it runs on.
#[derive(Clone, Debug)]
pub struct Here {
    boot_id: Bytes,
    /// Number of each namespace, and whether it is the initial one.
    own: BTreeMap<NsKind, (u64, bool)>,
    cookie: Option<u64>,
    mounts: Vec<NsMount>,
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
            let id = floe_proc::namespace(std::process::id(), kind.name())?;
            if let Some(id) = id {
                own.insert(kind, (id, floe_proc::is_initial_namespace(kind.name(), id)?));
            }
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
            cookie: floe_sys::network_cookie().ok(),
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
        let (id, initial) = *self.own.get(&was.kind)?;
        let same_cookie =
            was.cookie.is_none() || self.cookie.is_none() || was.cookie == self.cookie;
        Some((was.initial && initial) || (same_boot && was.id.0 == id && same_cookie))
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
        let own = NsKind::ALL.iter().map(|kind| (*kind, (9, false))).collect();
        let mounts = vec![mount("/", "/", 1), mount("/tmp", "/t", 1)];
        Here { boot_id: "b".into(), own, cookie: Some(5), mounts }
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
        let other = Namespace { cookie: Some(6), ..space(NsKind::Net, 9) };
        assert!(here.differs(&other, true).is_some());
        assert_eq!(here.differs(&space(NsKind::Uts, 8), false), None);
    }

    #[test]
    fn initial_ones_are_the_same_on_every_system() {
        let mut here = here();
        let initial = Namespace { initial: true, ..space(NsKind::Net, 1) };
        assert!(here.differs(&initial, false).is_some());
        here.own.insert(NsKind::Net, (2, true));
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
