//! A mount namespace is put together from the file systems of a workshop.

use crate::{
    Workshop,
    attributes::Attributes,
    space::inside,
    workshop::{NEW, OLD_PROC, PATH, below, copied_space},
};
use floe_sys::{Error, Result, attach_tree, clone_tree, set_mount_attributes};
use nix::{
    fcntl::{OFlag, open, openat},
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
    sys::stat::Mode,
    unistd::{fchdir, pivot_root},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A mount that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Names it among the others.
    pub id: u32,
    /// The one that it is mounted on, `None` for the root.
    pub parent: Option<u32>,
    /// Mount point, from the top of that one; empty for the top itself.
    pub point: &'a [u8],
    /// What it shows.
    pub base: Shows,
    /// From where on.
    pub part: &'a [u8],
    /// Its own options.
    pub attributes: Attributes,
}

/// A file system that a mount shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shows {
    /// One of those of the workshop.
    Base(usize),
    /// One that can be had only later, by its device.
    Late(u64),
}

/// A mount that comes later: what it shows, or what it is mounted on, is not there yet.
#[derive(Debug)]
struct LateMount {
    id: u32,
    parent: u32,
    point: Vec<u8>,
    /// A detached copy of what it shows, where that is there; else what that is, from where on, and with which options.
    what: Result<OwnedFd, (u64, Vec<u8>, Attributes)>,
}

/// A mount namespace that was put together.
#[derive(Debug)]
pub struct Built {
    /// The namespace.
    pub space: OwnedFd,
    /// Its root.
    pub top: OwnedFd,
    /// The tops of its mounts.
    pub mounts: BTreeMap<u32, OwnedFd>,
    /// Those that come later, in their order.
    late: Vec<LateMount>,
}

impl Built {
    /// Whether something of it comes later.
    pub fn waits(&self) -> bool {
        !self.late.is_empty()
    }

    /// File systems that come later, by their devices.
    pub fn late_systems(&self) -> impl Iterator<Item = u64> {
        self.late.iter().filter_map(|it| it.what.as_ref().err()).map(|what| what.0)
    }
}

impl Workshop {
    /// Puts a namespace together, which belongs to a user namespace where one is given. `wanted` has each mount behind the one that
    /// it is mounted on.
    ///
    /// # Errors
    /// What cannot be mounted, with the number of the mount, 0 for the whole.
    pub fn build(
        &self,
        wanted: &[Wanted<'_>],
        owner: Option<BorrowedFd<'_>>,
    ) -> Result<Built, (u32, Error)> {
        let mut at = 0;
        inside(self.space.as_fd(), || self.put(wanted, owner, &mut at)).map_err(|e| (at, e))
    }

    fn put(
        &self,
        wanted: &[Wanted<'_>],
        owner: Option<BorrowedFd<'_>>,
        at: &mut u32,
    ) -> Result<Built> {
        let fail = |e| Error::new("set up a mount namespace", e);
        let order = in_order(wanted);
        // Those of the namespace of a user namespace would be locked.
        let mut copies = self.copies(&order, at)?;
        *at = 0;
        let space = match owner {
            Some(owner) => {
                let owned = floe_sys::owned_mount_namespace(owner, OLD_PROC)?;
                setns(&owned, CloneFlags::CLONE_NEWNS).map_err(fail)?;
                owned
            }
            None => {
                floe_sys::private_mounts()?;
                copied_space()?
            }
        };
        let scratch = open("/", PATH | OFlag::O_DIRECTORY, Mode::empty()).map_err(fail)?;
        let mut mounts: BTreeMap<u32, OwnedFd> = BTreeMap::new();
        let (mut late, mut later) = (Vec::new(), BTreeSet::new());
        for it in order {
            *at = it.id;
            let gone = || Error::because("mount it", "what it is mounted on is not there");
            let copy = copies.remove(&it.id).ok_or_else(gone);
            if let Some(parent) = it.parent
                && (later.contains(&parent) || matches!(it.base, Shows::Late(_)))
            {
                later.insert(it.id);
                let what = match it.base {
                    Shows::Base(_) => Ok(copy?),
                    Shows::Late(dev) => Err((dev, it.part.to_vec(), it.attributes)),
                };
                late.push(LateMount { id: it.id, parent, point: it.point.to_vec(), what });
                continue;
            }
            let made = copy?;
            let place = match it.parent {
                None => openat(&scratch, NEW, PATH, Mode::empty()).map_err(fail)?,
                Some(parent) => below(mounts.get(&parent).ok_or_else(gone)?.as_fd(), it.point)?,
            };
            attach_tree(made.as_fd(), place.as_fd())?;
            mounts.insert(it.id, made);
        }
        *at = 0;
        let root = wanted.iter().find(|it| it.parent.is_none());
        let root = root.and_then(|root| mounts.get(&root.id));
        let top =
            root.ok_or_else(|| Error::because("set up a mount namespace", "it has no root"))?;
        let top = top.try_clone().map_err(|e| Error::new("keep a root", e))?;
        // The old root comes to lie above the new one, and goes.
        fchdir(&top).and_then(|()| pivot_root(".", ".")).map_err(fail)?;
        umount2(".", MntFlags::MNT_DETACH).map_err(fail)?;
        Ok(Built { space, top, mounts, late })
    }

    /// Detached copies of what all of them show, with their options.
    fn copies(&self, wanted: &[&Wanted<'_>], at: &mut u32) -> Result<BTreeMap<u32, OwnedFd>> {
        let mut copies = BTreeMap::new();
        for it in wanted {
            *at = it.id;
            let gone = || Error::because("mount it", "its file system is not there");
            let Shows::Base(base) = it.base else { continue };
            let base = self.base(base).ok_or_else(gone)?;
            copies.insert(it.id, copy(base, it.part, it.attributes)?);
        }
        Ok(copies)
    }

    /// Mounts what had to wait; `systems` are detached mounts of the file systems that came late, by their devices.
    ///
    /// # Errors
    /// What cannot be mounted, with the number of the mount.
    pub fn finish<'b>(
        &self,
        all: impl IntoIterator<Item = &'b mut Built>,
        systems: &BTreeMap<u64, OwnedFd>,
    ) -> Result<(), (u32, Error)> {
        let mut at = 0;
        let mut all: Vec<&mut Built> = all.into_iter().collect();
        let late: Vec<Vec<LateMount>> =
            all.iter_mut().map(|built| std::mem::take(&mut built.late)).collect();
        // A part of a file system can be copied only where it is mounted: in a copy of the workshop.
        let copied = inside(self.space.as_fd(), || {
            floe_sys::private_mounts()?;
            let place = open("/", PATH | OFlag::O_DIRECTORY, Mode::empty());
            let place = place.map_err(|e| Error::new("set up a mount namespace", e))?;
            for system in systems.values() {
                attach_tree(system.as_fd(), place.as_fd())?;
            }
            let mut copies = Vec::with_capacity(late.len());
            for some in late {
                let some = some.into_iter().map(|it| {
                    at = it.id;
                    it.copied(systems)
                });
                copies.push(some.collect::<Result<Vec<_>>>()?);
            }
            Ok(copies)
        });
        let copies = copied.map_err(|e| (at, e))?;
        for (built, copies) in all.into_iter().zip(copies) {
            let mounts = &mut built.mounts;
            let attached = inside(built.space.as_fd(), || {
                for (it, copy) in copies {
                    at = it.id;
                    let gone = || Error::because("mount it", "what it is mounted on is not there");
                    let parent = mounts.get(&it.parent).ok_or_else(gone)?;
                    let place = below(parent.as_fd(), &it.point)?;
                    attach_tree(copy.as_fd(), place.as_fd())?;
                    mounts.insert(it.id, copy);
                }
                Ok(())
            });
            attached.map_err(|e| (at, e))?;
        }
        Ok(())
    }
}

impl LateMount {
    /// A detached copy of what it shows; the calling thread stands where the file systems are mounted.
    fn copied(self, systems: &BTreeMap<u64, OwnedFd>) -> Result<(Place, OwnedFd)> {
        let gone = || Error::because("mount it", "its file system is not there");
        let made = match self.what {
            Ok(copy) => copy,
            Err((dev, part, attributes)) => {
                copy(systems.get(&dev).ok_or_else(gone)?.as_fd(), &part, attributes)?
            }
        };
        Ok((Place { id: self.id, parent: self.parent, point: self.point }, made))
    }
}

/// Where a mount belongs.
struct Place {
    id: u32,
    parent: u32,
    point: Vec<u8>,
}

/// A detached copy of a part of what is mounted.
fn copy(base: BorrowedFd<'_>, part: &[u8], attributes: Attributes) -> Result<OwnedFd> {
    let made = clone_tree(below(base, part)?.as_fd())?;
    set_mount_attributes(made.as_fd(), attributes.set, attributes.clear, 0)?;
    Ok(made)
}

/// Each behind its parent, and of those on the same parent, what lies deeper before what would cover it.
fn in_order<'w, 'a>(wanted: &'w [Wanted<'a>]) -> Vec<&'w Wanted<'a>> {
    let mut on: BTreeMap<Option<u32>, Vec<&Wanted<'_>>> = BTreeMap::new();
    for it in wanted {
        on.entry(it.parent).or_default().push(it);
    }
    for some in on.values_mut() {
        // Those of the same length as they come.
        some.reverse();
        some.sort_by_key(|it| it.point.len());
    }
    let mut order = Vec::with_capacity(wanted.len());
    // The last one that is put here comes first.
    let mut next = on.remove(&None).unwrap_or_default();
    while let Some(it) = next.pop() {
        order.push(it);
        // All of a mount must be there before the next one is mounted over a place above it: only what is on the same mount can be.
        next.extend(on.remove(&Some(it.id)).unwrap_or_default());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: u32, parent: Option<u32>, point: &'static [u8]) -> Wanted<'static> {
        let attributes = Attributes { set: 0, clear: 0 };
        Wanted { id, parent, point, base: Shows::Base(0), part: b"", attributes }
    }

    #[test]
    fn what_would_be_covered_comes_first() {
        let all = [
            one(1, None, b""),
            one(2, Some(1), b"/a"),
            one(3, Some(1), b"/a/b"),
            one(4, Some(2), b""),
            one(5, Some(1), b""),
            one(6, Some(1), b"/c/d"),
        ];
        let order: Vec<u32> = in_order(&all).iter().map(|it| it.id).collect();
        assert_eq!(order, [1, 3, 6, 2, 4, 5]);
    }
}
