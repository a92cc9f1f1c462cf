//! Where the file systems of mount namespaces come from.

use crate::{
    cgroups::Cgroups,
    mounts::{
        files::Put,
        removed::{self, Names},
        unpacked::{Unpacked, is_carried_anew},
    },
    options::RestoreOptions,
    unions,
};
use floe_mounts::{Base, Mount, System, Workshop, is_global, is_of_kernel, mounts};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sys::stat::major;
use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

/// Names a file system in the workshop.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    /// Made anew, in the place of that with this device.
    Anew(u64),
    /// A mount of our own, by its number.
    Mount(u32),
    /// A path of our own.
    Path(PathBuf),
    /// What was removed, by the device and inode number that it had.
    Removed(u64, u64),
}

/// All of them.
pub(super) struct Bases<'a> {
    keys: Vec<Key>,
    systems: BTreeMap<u64, &'a MountedSystem>,
    /// For a mount: which one, and the part that it shows.
    of: BTreeMap<(NsId, u32), (usize, Vec<u8>)>,
    own: Vec<Mount>,
    /// Namespaces that file systems show, by their devices.
    shown: Shown<'a>,
    removed: BTreeMap<(u64, u64), Removed<'a>>,
    /// The root whose files travel, where there is one.
    unpacked: Option<Unpacked>,
    names: Names,
}

/// What was removed, and is mounted.
struct Removed<'a> {
    was: &'a RemovedMount,
    /// The path that it had in its file system.
    path: &'a [u8],
    /// What shows it.
    mounts: Vec<(NsId, u32)>,
}

/// Namespaces that were made and that file systems show, by the devices of those.
pub(crate) type Shown<'a> = BTreeMap<u64, BorrowedFd<'a>>;

impl<'a> Bases<'a> {
    /// Finds where each mount comes from.
    pub fn find(
        tree: &'a Tree,
        trees: &[&'a MountTree],
        (options, cgroups, shown): (&RestoreOptions, &Cgroups, Shown<'a>),
        refuse: &mut dyn FnMut(String, Error),
    ) -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read(path).map_err(|e| Error::new(format!("read {path}"), e))?;
        let mut me = Self {
            keys: Vec::new(),
            systems: BTreeMap::new(),
            of: BTreeMap::new(),
            own: mounts(&text),
            shown,
            unpacked: Unpacked::of(trees, options)?,
            removed: removed_mounts(tree, trees),
            names: Names::default(),
        };
        let same_boot = options.here.is_same_boot(tree);
        let late = super::procs::late(tree);
        for it in trees {
            me.systems.extend(it.systems.iter().map(|system| (system.dev, system)));
            for mount in it.mounts.iter().filter(|mount| !late.contains_key(&mount.dev)) {
                match me.source(it, &moved(it, mount, cgroups), options, same_boot) {
                    Ok((key, part)) => {
                        let known = me.keys.iter().position(|other| *other == key);
                        let at = known.unwrap_or_else(|| {
                            me.keys.push(key);
                            me.keys.len() - 1
                        });
                        me.of.insert((it.id, mount.id), (at, part));
                    }
                    Err(error) => refuse(format!("mount {}", mount.point), error),
                }
            }
        }
        Ok(me)
    }

    fn source(
        &self,
        tree: &MountTree,
        mount: &MountPoint,
        options: &RestoreOptions,
        same_boot: bool,
    ) -> Result<(Key, Vec<u8>)> {
        let given = options.external.iter().find(|(point, _)| *point == mount.point.0);
        let given = given.map(|(_, source)| source.as_path());
        if given.is_none()
            && let Some(source) = self.unpacked.as_ref().and_then(|it| it.source(mount))
        {
            return source.map(|(dir, part)| (Key::Path(dir), part.to_vec()));
        }
        let top = (mount.parent == 0 && options.root != Path::new("/")).then_some(&*options.root);
        if let Some(source) = given.or(top) {
            let fail = |e| Error::new(format!("open {}", source.display()), e);
            return Ok((Key::Path(std::fs::canonicalize(source).map_err(fail)?), Vec::new()));
        }
        let none = || Error::because("find its file system", "it is not in the stream");
        let removed = self.removed.iter().find(|it| it.1.mounts.contains(&(tree.id, mount.id)));
        let system = tree.system(mount.dev);
        if let Some(((dev, ino), _)) = removed {
            // Its part of a file system that is mounted anew is known when it is made there.
            let anew = system.is_some_and(is_carried_anew);
            return Ok((if anew { Key::Anew(*dev) } else { Key::Removed(*dev, *ino) }, Vec::new()));
        }
        let system = system.ok_or_else(none)?;
        let here = self.here(system, mount, same_boot);
        if let Some((own, part)) = here {
            return Ok((Key::Mount(own.id), part.to_vec()));
        }
        let fs_type = system.fs_type.0.as_slice();
        if is_of_kernel(fs_type) || is_carried_anew(system) || fs_type == b"overlay" {
            let part = mount.part_of(&"/".into()).ok_or_else(none)?;
            return Ok((Key::Anew(system.dev), part.to_vec()));
        }
        let what = format!("mount {} ({}) again", system.source, system.fs_type);
        let point = &mount.point;
        Err(Error::because(
            what,
            format!("it is not mounted here (say what takes its place: --external {point}=PATH)"),
        ))
    }

    /// A mount of ours that shows the file system of a mount, and the part that is to be shown.
    fn here<'m>(
        &self,
        system: &MountedSystem,
        mount: &'m MountPoint,
        same_boot: bool,
    ) -> Option<(&Mount, &'m [u8])> {
        let kernel = is_of_kernel(&system.fs_type.0);
        let type_is = |own: &Mount| own.fs_type == system.fs_type.0;
        // An AUFS has been compared with the one that was there (`unions::outside_stacks`), and may have been mounted by us.
        let compared = system.fs_type.0 == b"aufs";
        let alike = |own: &Mount| {
            let may = kernel || compared || !same_boot;
            type_is(own) && may && (kernel || own.source == system.source.0)
        };
        let same = |own: &Mount| same_boot && own.dev == system.dev && type_is(own);
        // Where it was, else, where devices tell, wherever it is.
        let tests: [&dyn Fn(&Mount) -> bool; 2] = [&same, &alike];
        for is_it in tests {
            for was in &system.outside {
                let mut at = self.own.iter().rev().filter(|own| own.point == was.point.0);
                let own = at.find(|own| own.root == was.root.0 && is_it(own));
                if let (Some(own), Some(part)) = (own, mount.part_of(&was.root)) {
                    return Some((own, part));
                }
            }
        }
        if is_global(&system.fs_type.0) {
            let part = |own: &Mount| mount.part_of(&Bytes(own.root.clone()));
            return self
                .own
                .iter()
                .filter(|own| type_is(own))
                .find_map(|own| Some((own, part(own)?)));
        }
        // Numbers of file systems without a device are given again.
        if !same_boot || system.outside.is_empty() || major(system.dev) == 0 {
            return None;
        }
        self.own.iter().find_map(|own| {
            let part = mount.part_of(&Bytes(own.root.clone()))?;
            same(own).then_some((own, part))
        })
    }

    /// Makes what was removed, and is mounted, in the file systems that were mounted anew.
    pub fn put_removed(&mut self, workshop: &Workshop) -> Result<()> {
        for ((dev, _), removed) in &self.removed {
            let Some(at) = self.keys.iter().position(|key| *key == Key::Anew(*dev)) else {
                continue;
            };
            let top = workshop.base(at).and_then(|top| top.try_clone_to_owned().ok());
            let gone = || Error::because("make what was removed", "its file system is not there");
            let part =
                removed::put(removed.was, removed.path, &top.ok_or_else(gone)?, &self.names)?;
            for mount in &removed.mounts {
                self.of.insert(*mount, (at, part.clone()));
            }
        }
        Ok(())
    }

    /// All is mounted: what had no name loses it.
    pub fn remove_names(&self) -> Result<()> {
        self.names.remove()
    }

    /// What the workshop is to have.
    pub fn wanted(&self) -> Vec<Base<'_>> {
        self.keys.iter().map(|key| self.base(key)).collect()
    }

    fn base<'k>(&'k self, key: &'k Key) -> Base<'k> {
        match key {
            Key::Path(path) => Base::Path(path),
            Key::Removed(dev, ino) => {
                let removed = self.removed.get(&(*dev, *ino));
                let gone = || Error::because("make what was removed", "it is not in the stream");
                Base::By(Box::new(move || {
                    let Removed { was, path, .. } = removed.ok_or_else(gone)?;
                    removed::detached(was, path, &self.names)
                }))
            }
            Key::Mount(id) => match self.own.iter().find(|own| own.id == *id) {
                Some(own) => Base::Mount(own),
                None => Base::Path(Path::new("")),
            },
            Key::Anew(dev) => {
                let system = self.systems.get(dev).copied();
                if let Some(system) = system.filter(|system| system.fs_type.0 == b"overlay") {
                    return Base::By(Box::new(|| unions::detached(system)));
                }
                match system {
                    Some(system) => Base::Anew(System {
                        space: self.shown.get(dev).copied(),
                        ..system_of(system)
                    }),
                    None => Base::Path(Path::new("")),
                }
            }
        }
    }

    /// One of them as people know it.
    pub fn describe(&self, at: usize) -> String {
        match self.keys.get(at) {
            Some(Key::Anew(dev)) => match self.systems.get(dev) {
                Some(system) => format!("file system {} ({})", system.source, system.fs_type),
                None => "file system".into(),
            },
            Some(Key::Path(path)) => format!("{}", path.display()),
            Some(Key::Removed(_, ino)) => format!("the removed file with the inode number {ino}"),
            Some(Key::Mount(id)) => {
                let own = self.own.iter().find(|own| own.id == *id);
                let point = own.map(|own| String::from_utf8_lossy(&own.point));
                format!("mount {}", point.unwrap_or_default())
            }
            None => "file system".into(),
        }
    }

    /// Those that files are made in: their old devices, which they are, and what is made of them.
    pub fn carried(&self) -> impl Iterator<Item = (u64, usize, Put)> {
        self.keys.iter().enumerate().filter_map(|(at, key)| match key {
            Key::Anew(dev) if self.systems.get(dev).is_some_and(|it| is_carried_anew(it)) => {
                Some((*dev, at, if self.is_read_only(*dev) { Put::ReadOnly } else { Put::Anew }))
            }
            Key::Path(dir) => {
                let unpacked = self.unpacked.as_ref()?;
                (unpacked.dir.as_ref() == Some(dir)).then_some((unpacked.dev, at, Put::Directory))
            }
            _ => None,
        })
    }

    /// Whether it is the file system of this device, mounted anew.
    pub fn is_anew(&self, at: usize, dev: u64) -> bool {
        self.keys.get(at) == Some(&Key::Anew(dev))
    }

    /// Whether a file system cannot be written to.
    fn is_read_only(&self, dev: u64) -> bool {
        let options = self.systems.get(&dev).map_or(&b""[..], |system| &system.options.0);
        options.split(|byte| *byte == b',').any(|option| option == b"ro")
    }

    /// Where a mount comes from.
    pub fn of(&self, space: NsId, mount: &MountPoint) -> Option<(usize, &[u8])> {
        self.of.get(&(space, mount.id)).map(|(at, part)| (*at, part.as_slice()))
    }
}

/// One that is mounted anew.
pub(super) fn system_of(system: &MountedSystem) -> System<'_> {
    let is_global = is_global(&system.fs_type.0);
    System {
        fs_type: &system.fs_type.0,
        source: &system.source.0,
        options: if is_global { b"" } else { &system.options.0 },
        filled: system.carried,
        space: None,
    }
}

/// What was removed, and the mounts that show it.
fn removed_mounts<'a>(
    tree: &'a Tree,
    trees: &[&'a MountTree],
) -> BTreeMap<(u64, u64), Removed<'a>> {
    let mut all: BTreeMap<(u64, u64), Removed<'a>> = BTreeMap::new();
    for (id, mount) in trees.iter().flat_map(|it| it.mounts.iter().map(|mount| (it.id, mount))) {
        if let Some(was) = tree.get::<RemovedMount>((id, mount.id)) {
            let path = mount.root.0.as_slice();
            let it =
                all.entry((mount.dev, was.ino)).or_insert(Removed { was, path, mounts: vec![] });
            it.mounts.push((id, mount.id));
        }
    }
    all
}

/// A mount, with the place of what it shows where that is a cgroup which another one takes the place of.
fn moved(tree: &MountTree, mount: &MountPoint, cgroups: &Cgroups) -> MountPoint {
    let mut mount = mount.clone();
    if let Some(system) = tree.system(mount.dev) {
        let is_of = |name: &[u8]| floe_cgroups::is_of(&system.fs_type.0, &system.options.0, name);
        mount.root = cgroups.moved(&mount.root.0, is_of).into();
    }
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(id: u32, dev: u64, point: &str, fs_type: &str) -> Mount {
        let (root, source) = (b"/".to_vec(), b"source".to_vec());
        let (point, fs_type) = (point.into(), fs_type.into());
        Mount { id, dev, root, point, fs_type, source, ..Mount::default() }
    }

    fn system(dev: u64, fs_type: &str, points: &[&str]) -> MountedSystem {
        let outside =
            points.iter().map(|point| OutsideMount { point: (*point).into(), root: "/".into() });
        MountedSystem {
            dev,
            fs_type: fs_type.into(),
            source: "source".into(),
            options: "rw".into(),
            outside: outside.collect(),
            carried: false,
        }
    }

    fn found(
        all: &[Mount],
        system: &MountedSystem,
        root: &str,
        same_boot: bool,
    ) -> Option<(u32, String)> {
        let bases = Bases {
            keys: Vec::new(),
            systems: BTreeMap::new(),
            of: BTreeMap::new(),
            own: all.to_vec(),
            shown: Shown::new(),
            unpacked: None,
            removed: BTreeMap::new(),
            names: Names::default(),
        };
        let mount = MountPoint {
            id: 1,
            parent: 0,
            point: "/".into(),
            dev: system.dev,
            root: root.into(),
            flags: "rw".into(),
            peers: None,
            master: None,
            unbindable: false,
        };
        let here = bases.here(system, &mount, same_boot);
        here.map(|(own, part)| (own.id, String::from_utf8_lossy(part).into_owned()))
    }

    #[test]
    fn a_device_tells_on_the_same_boot() {
        let disk = nix::sys::stat::makedev(8, 1);
        let all =
            [own(1, disk, "/", "ext4"), own(2, 40, "/proc", "proc"), own(3, 41, "/proc", "proc")];
        let says = |system: &MountedSystem, same_boot| found(&all, system, "/srv/x", same_boot);
        let whole = Some((1, "/srv/x".to_owned()));
        assert_eq!(says(&system(disk, "ext4", &["/"]), true), whole);
        assert_eq!(says(&system(disk, "ext4", &["/moved"]), true), whole);
        assert_eq!(says(&system(disk, "ext4", &["/moved"]), false), None);
        assert_eq!(says(&system(disk + 1, "ext4", &["/"]), true), None);
        assert_eq!(says(&system(disk + 1, "ext4", &["/"]), false), whole);
        assert_eq!(says(&system(disk, "ext4", &[]), true), None, "a number that was given again");
        // Of two that are mounted there, the same; of another one of the kernel's, the topmost.
        let proc = |dev| found(&all, &system(dev, "proc", &["/proc"]), "/", true).map(|it| it.0);
        assert_eq!((proc(40), proc(41), proc(42)), (Some(2), Some(3), Some(3)));
    }

    #[test]
    fn what_is_in_memory_is_known_by_its_place() {
        let all = [own(1, 40, "/run", "tmpfs"), own(2, 7, "/kernel", "debugfs")];
        let run = system(40, "tmpfs", &["/run"]);
        assert!(found(&all, &run, "/", true).is_some());
        assert_eq!(found(&all, &system(40, "tmpfs", &["/elsewhere"]), "/", true), None);
        assert_eq!(found(&all, &system(41, "tmpfs", &["/run"]), "/", true), None);
        // There is one for all, wherever it is mounted.
        assert!(found(&all, &system(9, "debugfs", &[]), "/", false).is_some());
    }
}
