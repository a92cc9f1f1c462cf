//! What processes may have in common (CLONE_VM, CLONE_FILES, CLONE_FS and CLONE_SIGHAND of clone(2)), and how they can be made
//! so that they have.

use crate::Pid;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Something that a process has of its own as a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Share {
    /// The address space.
    Memory,
    /// The descriptor table.
    Table,
    /// Working directory, root and umask.
    Directories,
    /// Signal actions.
    Actions,
}

impl Share {
    /// All of them.
    pub const ALL: [Share; 4] = [Share::Memory, Share::Table, Share::Directories, Share::Actions];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Share::Memory => "memory",
            Share::Table => "descriptor table",
            Share::Directories => "working directory, root and umask",
            Share::Actions => "signal actions",
        }
    }

    /// Whether a process that shares it with others can leave it to them (unshare(2)). Memory can be left by execve(2) alone.
    pub fn can_be_left(self) -> bool {
        matches!(self, Share::Table | Share::Directories)
    }
}

/// Some of what can be shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ShareSet(u8);

impl ShareSet {
    /// Adds one.
    pub fn insert(&mut self, share: Share) {
        self.0 |= 1 << share as u8;
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All that are in it.
    pub fn iter(self) -> impl Iterator<Item = Share> {
        Share::ALL.into_iter().filter(move |share| self.0 & 1 << *share as u8 != 0)
    }
}

impl fmt::Display for ShareSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Share::name).collect();
        f.write_str(&names.join("; "))
    }
}

/// From which process each has what: the first one of the tree that has the same, itself where none before it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// [`Share::Memory`].
    pub memory: Pid,
    /// [`Share::Table`].
    pub table: Pid,
    /// [`Share::Directories`].
    pub directories: Pid,
    /// [`Share::Actions`].
    pub actions: Pid,
}

impl Shares {
    /// Of a process that shares nothing with those before it.
    pub fn none(pid: Pid) -> Self {
        Self { memory: pid, table: pid, directories: pid, actions: pid }
    }

    /// Whose it is.
    pub fn of(&self, share: Share) -> Pid {
        match share {
            Share::Memory => self.memory,
            Share::Table => self.table,
            Share::Directories => self.directories,
            Share::Actions => self.actions,
        }
    }

    /// Says whose it is.
    pub fn set(&mut self, share: Share, owner: Pid) {
        match share {
            Share::Memory => self.memory = owner,
            Share::Table => self.table = owner,
            Share::Directories => self.directories = owner,
            Share::Actions => self.actions = owner,
        }
    }
}

/// A process as [`Links::find`] looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Sharer {
    /// Its id.
    pub pid: Pid,
    /// Its parent.
    pub parent: Pid,
    /// It is the child of a thread of its parent that is not the main one.
    pub by_thread: bool,
    /// Whose what is looked at is.
    pub owner: Pid,
}

/// How processes are made so that one thing is shared by those that share it. A process can share with the one that makes it
/// alone, so what two have in common passes through all processes between them; those that are to have their own leave it
/// behind when all are made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    /// Those that are made with what their parent has.
    pub with_parent: BTreeSet<Pid>,
    /// Those through which it passes, and that leave it.
    pub through: BTreeSet<Pid>,
}

impl Links {
    /// Finds them for the living processes of a tree, parents first.
    ///
    /// # Errors
    /// Processes that cannot be made so, each with the owner of what it shares.
    pub fn find(share: Share, all: &[Sharer]) -> Result<Self, Vec<(Pid, Pid)>> {
        let rows: BTreeMap<Pid, usize> = all.iter().zip(0..).map(|(p, row)| (p.pid, row)).collect();
        let mut groups: BTreeMap<Pid, BTreeSet<usize>> = BTreeMap::new();
        for (row, p) in all.iter().enumerate().filter(|(_, p)| p.owner != p.pid) {
            let owner = rows.get(&p.owner).copied();
            groups.entry(p.owner).or_default().extend(owner.into_iter().chain([row]));
        }
        let (mut links, mut bad) = (Self::default(), Vec::new());
        // Of which group each process has it while processes are made.
        let mut meanwhile: BTreeMap<Pid, Pid> =
            groups.keys().map(|owner| (*owner, *owner)).collect();
        meanwhile.extend(all.iter().filter(|p| p.owner != p.pid).map(|p| (p.pid, p.owner)));
        for (owner, mut open) in groups {
            while let Some(last) = open.pop_last().filter(|_| !open.is_empty()) {
                // Parents come before their children: it is above nobody that is left.
                let p = all[last];
                let parent = rows.get(&p.parent).filter(|row| **row < last);
                let of = parent.map(|_| *meanwhile.entry(p.parent).or_insert(owner));
                let has = parent.is_some_and(|row| all[*row].owner == owner);
                if of != Some(owner) || !has && !share.can_be_left() {
                    bad.push((p.pid, owner));
                    break;
                }
                links.with_parent.insert(p.pid);
                if !has {
                    links.through.insert(p.parent);
                }
                open.extend(parent);
            }
        }
        // unshare(2) would leave that thread behind.
        let stays = all.iter().find(|p| p.by_thread && links.through.contains(&p.parent));
        if let Some(p) = stays {
            let mut children = all.iter().filter(|child| child.parent == p.parent);
            let linked = children.find(|child| links.with_parent.contains(&child.pid));
            let owner = meanwhile.get(&p.parent).copied();
            bad.extend(linked.map(|child| child.pid).zip(owner));
        }
        if bad.is_empty() { Ok(links) } else { Err(bad) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Result<(Vec<u32>, Vec<u32>), Vec<(u32, u32)>>;

    fn find(share: Share, all: &[(u32, u32, u32)]) -> Found {
        let sharer = |&(pid, parent, owner): &(u32, u32, u32)| Sharer {
            pid: Pid(pid),
            parent: Pid(parent),
            // A number for the tests.
            by_thread: pid >= 100,
            owner: Pid(owner),
        };
        let all: Vec<Sharer> = all.iter().map(sharer).collect();
        let numbers = |set: BTreeSet<Pid>| set.into_iter().map(|pid| pid.0).collect();
        match Links::find(share, &all) {
            Ok(links) => Ok((numbers(links.with_parent), numbers(links.through))),
            Err(bad) => Err(bad.into_iter().map(|(pid, owner)| (pid.0, owner.0)).collect()),
        }
    }

    #[test]
    fn what_is_shared_passes_through_those_between() {
        let child = [(1, 0, 1), (2, 1, 1), (3, 2, 3)];
        assert_eq!(find(Share::Memory, &child), Ok((vec![2], vec![])));
        let grandchild = [(1, 0, 1), (2, 1, 2), (3, 2, 1)];
        assert_eq!(find(Share::Table, &grandchild), Ok((vec![2, 3], vec![2])));
        assert_eq!(find(Share::Memory, &grandchild), Err(vec![(3, 1)]));
        let siblings = [(1, 0, 1), (2, 1, 2), (3, 1, 2), (4, 3, 2)];
        assert_eq!(find(Share::Directories, &siblings), Ok((vec![2, 3, 4], vec![1])));
        assert_eq!(find(Share::Actions, &siblings), Err(vec![(3, 2)]));
    }

    #[test]
    fn two_groups_cannot_pass_through_one_process() {
        let crossed = [(1, 0, 1), (2, 1, 2), (3, 2, 1), (4, 3, 2)];
        assert_eq!(find(Share::Table, &crossed).map_err(|bad| bad.len()), Err(2));
        let apart = [(1, 0, 1), (2, 1, 1), (3, 1, 3), (4, 3, 3)];
        assert_eq!(find(Share::Table, &apart), Ok((vec![2, 4], vec![])));
    }

    #[test]
    fn threads_stay_with_their_process() {
        let through = [(1, 0, 1), (2, 1, 2), (3, 2, 1), (100, 2, 100)];
        assert_eq!(find(Share::Table, &through), Err(vec![(3, 1)]));
        assert_eq!(find(Share::Table, &[(1, 0, 1), (100, 1, 1)]), Ok((vec![100], vec![])));
    }

    #[test]
    fn a_stranger_may_say_anything() {
        assert_eq!(find(Share::Table, &[(1, 0, 9), (2, 3, 1), (3, 2, 3)]), Err(vec![(2, 1)]));
    }
}
