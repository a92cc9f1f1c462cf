//! Peer groups: who hears of whose mounts.

use crate::space::inside;
use floe_sys::{Error, Result, join_group, set_mount_attributes};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

const MS_UNBINDABLE: u64 = 1 << 17;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// A mount, private as yet, and what it is to be.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its namespace.
    pub space: BorrowedFd<'a>,
    /// Its top.
    pub mount: BorrowedFd<'a>,
    /// How people know it.
    pub name: &'a str,
    /// The part of the file system that it shows.
    pub root: &'a [u8],
    /// Its peer group.
    pub peers: Option<u32>,
    /// The group above it.
    pub master: Option<u32>,
    /// It cannot be bound.
    pub unbindable: bool,
}

/// A member of a peer group that is there already.
pub type Outside = BTreeMap<u32, OwnedFd>;

/// Puts all into their groups. Gives what could not be had, in words.
///
/// # Errors
/// Those of the kernel, but for groups that have nobody to join.
pub fn connect(members: &[Member<'_>], outside: &Outside) -> Result<Vec<String>> {
    let mut known: BTreeMap<u32, Vec<(&[u8], BorrowedFd<'_>)>> = BTreeMap::new();
    for (group, mount) in outside {
        known.entry(*group).or_default().push((b"/", mount.as_fd()));
    }
    let mut lost = Vec::new();
    let mut left: Vec<&Member<'_>> =
        members.iter().filter(|it| it.peers.is_some() || it.master.is_some()).collect();
    // A group is joined by way of a member that shows at least as much.
    left.sort_by_key(|it| it.root.len());
    while !left.is_empty() {
        let of_tree: Vec<u32> = left.iter().filter_map(|it| it.peers).collect();
        let waits = |it: &&Member<'_>| {
            let joins = it.peers.is_some_and(|group| known.contains_key(&group));
            !joins
                && it.master.is_some_and(|master| {
                    it.peers != Some(master)
                        && !known.contains_key(&master)
                        && of_tree.contains(&master)
                })
        };
        let at = left.iter().position(|it| !waits(it)).unwrap_or(0);
        let it = left.remove(at);
        if let Err(e) = join(it, &known) {
            lost.push(format!("{} hears of no other mounts: {e}", it.name));
            continue;
        }
        if let Some(group) = it.peers {
            known.entry(group).or_default().push((it.root, it.mount));
        }
    }
    for it in members.iter().filter(|it| it.unbindable) {
        set(it, MS_UNBINDABLE)?;
    }
    Ok(lost)
}

fn set(it: &Member<'_>, propagation: u64) -> Result<()> {
    inside(it.space, || set_mount_attributes(it.mount, 0, 0, propagation))
}

fn join(it: &Member<'_>, known: &BTreeMap<u32, Vec<(&[u8], BorrowedFd<'_>)>>) -> Result<()> {
    if let Some(group) = it.peers {
        if let Some(there) = known.get(&group) {
            return by_one_of(it, there);
        }
        if let Some(master) = it.master {
            below(it, master, known)?;
        }
        return set(it, MS_SHARED);
    }
    it.master.map_or(Ok(()), |master| below(it, master, known))
}

/// Below a master: it becomes a peer, and leaves.
fn below(
    it: &Member<'_>,
    master: u32,
    known: &BTreeMap<u32, Vec<(&[u8], BorrowedFd<'_>)>>,
) -> Result<()> {
    let gone = || Error::because("join the group above it", "it has no member here");
    by_one_of(it, known.get(&master).ok_or_else(gone)?)?;
    set(it, MS_SLAVE)
}

fn by_one_of(it: &Member<'_>, there: &[(&[u8], BorrowedFd<'_>)]) -> Result<()> {
    let mut failed = None;
    for (_, mount) in there {
        match join_group(*mount, it.mount) {
            Ok(()) => return Ok(()),
            Err(e) => failed = Some(e),
        }
    }
    let nobody = || Error::because("join a peer group", "it has no member here");
    Err(failed.unwrap_or_else(nobody))
}
