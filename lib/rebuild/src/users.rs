//! User namespaces of the tree: that of its root, in which the root may have been born, and others below it.

use crate::{
    new_spaces::{OwnUser, write_maps},
    space_maker::SpaceMaker,
};
use floe_records::{IdMaps, Namespace, Namespaces, NsId, NsKind, Tree};
use floe_sys::{Error, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::wait::{WaitStatus, waitpid},
    unistd::{Gid, Pid, Uid, setegid, seteuid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

const DOING: &str = "make a user namespace";
/// Deepest level (create_user_ns of kernel/user_namespace.c).
const DEEPEST: usize = 33;

/// What takes the place of the user namespaces of a tree that were not those of freeze.
#[derive(Debug, Default)]
pub(crate) struct Users<'a> {
    /// That of the root.
    root: Option<&'a OwnUser>,
    /// Others.
    others: BTreeMap<NsId, OwnedFd>,
}

impl<'a> Users<'a> {
    /// Makes those that are not there yet, those above first. The calling thread must be the only one.
    pub fn make(tree: &Tree, root: Option<&'a OwnUser>) -> Result<Self> {
        let mut me = Self { root, others: BTreeMap::new() };
        let of_root = tree.root().and_then(|root| tree.get::<Namespaces>(root.pid));
        let of_root: BTreeSet<NsId> = of_root
            .into_iter()
            .flat_map(|all| own_above(tree, all.user))
            .map(|above| above.id)
            .collect();
        let is_below =
            |it: &&Namespace| it.kind == NsKind::User && !it.inherited && !of_root.contains(&it.id);
        let mut left: Vec<&Namespace> = tree.all::<Namespace>().iter().filter(is_below).collect();
        while !left.is_empty() {
            let before = left.len();
            let mut later = Vec::new();
            for was in left {
                let waits = |id| tree.get::<Namespace>(id).is_some_and(|it| !it.inherited);
                let parent = was.parent.filter(|id| waits(*id));
                if parent.is_some_and(|id| me.space(id).is_none()) {
                    later.push(was);
                    continue;
                }
                let made = make(tree, was, parent.zip(parent.and_then(|id| me.space(id))))?;
                me.others.insert(was.id, made);
            }
            if later.len() == before {
                return Err(Error::because(DOING, "the one around it is not made again"));
            }
            left = later;
        }
        Ok(me)
    }

    /// The one in the place of a namespace.
    pub fn space(&self, id: NsId) -> Option<BorrowedFd<'_>> {
        let root = self.root.and_then(|root| root.find(id));
        root.or_else(|| self.others.get(&id).map(AsFd::as_fd))
    }

    /// The user namespace that another one is to belong to; `None` for our own.
    pub fn owner(&self, tree: &Tree, was: &Namespace) -> Result<Option<BorrowedFd<'_>>> {
        let Some(owner) = was.owner else { return Ok(None) };
        let found = self.space(owner);
        let inherited = tree.get::<Namespace>(owner).is_none_or(|owner| owner.inherited);
        let other = "the user namespace that it belongs to is not made again";
        if found.is_some() || inherited {
            Ok(found)
        } else {
            Err(Error::because("make it again", other))
        }
    }
}

/// Whether the root of a tree is born in its user namespace: then it is the init of a pid namespace that belongs to that.
pub fn is_born_there(tree: &Tree) -> bool {
    const INIT: u32 = 1;
    let Some(root) = tree.root().filter(|root| root.pid.0 == INIT) else { return false };
    let Some(all) = tree.get::<Namespaces>(root.pid) else { return false };
    let of = |id| tree.get::<Namespace>(id);
    of(all.pid_ns).is_some_and(|pids| pids.owner == Some(all.user))
        && of(all.user).is_some_and(|user| !user.inherited)
}

/// A user namespace and those around it, outwards, that are the tree's own.
fn own_above(tree: &Tree, id: NsId) -> Vec<&Namespace> {
    let (mut all, mut next) = (Vec::new(), Some(id));
    // No kernel has them deeper.
    while let Some(it) = next.and_then(|id| tree.get::<Namespace>(id))
        && !it.inherited
        && all.len() < DEEPEST
    {
        all.push(it);
        next = it.parent;
    }
    all
}

/// Makes one, and before it those around it that are the tree's own. The calling thread must be the only one.
pub(crate) fn make_with_those_above(
    tree: &Tree,
    id: NsId,
) -> Result<(OwnedFd, BTreeMap<NsId, OwnedFd>)> {
    let (mut above, mut last) = (BTreeMap::new(), None);
    for was in own_above(tree, id).into_iter().rev() {
        let parent = last.as_ref().map(|(id, space): &(NsId, OwnedFd)| (*id, space.as_fd()));
        let made = make(tree, was, parent)?;
        above.extend(last.replace((was.id, made)));
    }
    let none = || Error::because(DOING, "it is not in the stream");
    last.map(|(_, space)| (space, above)).ok_or_else(none)
}

/// Makes one, in another one where that is not our own.
fn make(tree: &Tree, was: &Namespace, parent: Option<(NsId, BorrowedFd<'_>)>) -> Result<OwnedFd> {
    let none = || Error::because(DOING, "its maps are not in the stream");
    let maps = tree.get::<IdMaps>(was.id).ok_or_else(none)?;
    let outer = parent.map(|(id, _)| tree.get::<IdMaps>(id).ok_or_else(none)).transpose()?;
    let space = parent.map(|(_, space)| space);
    // All that it says is said from where the one around it is.
    let maps = outer.map_or_else(|| Some(maps.clone()), |outer| within(maps, outer));
    let maps = maps.ok_or_else(|| Error::because(DOING, "the one around it lacks its ids"))?;
    let group = outer.and_then(IdMaps::anybody).map(|(_, group)| group);
    let kind = (NsKind::User.name(), CloneFlags::CLONE_NEWUSER);
    let mut maker = SpaceMaker::start_as(kind, space, || {
        group.map_or(Ok(()), |group| setegid(Gid::from_raw(group)))?;
        // The owner is who makes it.
        seteuid(Uid::from_raw(maps.owner))
    })?;
    maker.make_it()?;
    let pid = maker.pid() as i32;
    match space {
        None => write_maps(pid, &maps)?,
        Some(space) => write_from(space, pid, &maps)?,
    }
    maker.open()
}

/// Writes the maps of the namespace of a process from the one around it.
fn write_from(space: BorrowedFd<'_>, pid: i32, maps: &IdMaps) -> Result<()> {
    let Some(child) = floe_sys::fork(&[], 0)? else {
        let entered = setns(space, CloneFlags::CLONE_NEWUSER).is_ok();
        std::process::exit(i32::from(!(entered && write_maps(pid, maps).is_ok())));
    };
    match waitpid(Pid::from_raw(child), None) {
        Ok(WaitStatus::Exited(_, 0)) => Ok(()),
        Ok(_) => Err(Error::because(DOING, "its maps could not be written")),
        Err(e) => Err(Error::new(DOING, e)),
    }
}

/// Maps as they read in the namespace around theirs.
fn within(maps: &IdMaps, outer: &IdMaps) -> Option<IdMaps> {
    let mut inner = maps.clone();
    inner.owner = outer.user(maps.owner)?;
    for (_, outside, _) in &mut inner.users {
        *outside = outer.user(*outside)?;
    }
    for (_, outside, _) in &mut inner.groups {
        *outside = outer.group(*outside)?;
    }
    for (_, outside, _) in &mut inner.projects {
        *outside = outer.project(*outside)?;
    }
    Some(inner)
}
