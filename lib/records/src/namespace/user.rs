//! Ids in a user namespace (user_namespaces(7)).

use crate::{Link, Namespace, Namespaces, NsId, NsKind, Pid, Resource, Tree, ensure};
use serde::{Deserialize, Serialize};

/// Most lines of a map (UID_GID_MAP_MAX_EXTENTS of include/linux/user_namespace.h).
const MOST: usize = 340;

/// Deepest level (create_user_ns of kernel/user_namespace.c).
const DEEPEST: usize = 33;

/// First id inside, first id outside, how many: a line of a map. Outside is where `freeze` was.
pub type IdRange = (u32, u32, u32);

/// What users and groups are called in a user namespace of the tree's own. All other records name them as they are called
/// outside, where `freeze` was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMaps {
    /// The namespace.
    pub id: NsId,
    /// The user that has made it (NS_GET_OWNER_UID of ioctl_ns(2)).
    pub owner: u32,
    /// /proc/PID/uid_map.
    pub users: Vec<IdRange>,
    /// /proc/PID/gid_map.
    pub groups: Vec<IdRange>,
    /// /proc/PID/projid_map.
    pub projects: Vec<IdRange>,
    /// setgroups(2) is denied for ever (/proc/PID/setgroups).
    pub denies_groups: bool,
}

impl IdMaps {
    /// What a user is called inside.
    pub fn user(&self, outside: u32) -> Option<u32> {
        inside(&self.users, outside)
    }

    /// What a group is called inside.
    pub fn group(&self, outside: u32) -> Option<u32> {
        inside(&self.groups, outside)
    }

    /// What a user of the namespace is called outside of it.
    pub fn user_outside(&self, inside: u32) -> Option<u32> {
        outside(&self.users, inside)
    }

    /// What a group of the namespace is called outside of it.
    pub fn group_outside(&self, inside: u32) -> Option<u32> {
        outside(&self.groups, inside)
    }

    /// What a project is called inside.
    pub fn project(&self, outside: u32) -> Option<u32> {
        inside(&self.projects, outside)
    }

    /// A user and a group that there are, as they are called inside: the root of the namespace, where it has one.
    pub fn anybody(&self) -> Option<(u32, u32)> {
        let first = |map: &[IdRange]| map.iter().map(|range| range.0).min();
        Some((first(&self.users)?, first(&self.groups)?))
    }

    /// The first id of a thread, by its users, its groups and its further groups, that has no name inside.
    pub fn nameless(&self, uids: &[u32], gids: &[u32], groups: &[u32]) -> Option<u32> {
        let users = uids.iter().find(|id| self.user(**id).is_none());
        // Where nobody may set groups, a thread has them from before.
        let own = groups.iter().filter(|_| !self.denies_groups);
        let mut groups = gids.iter().chain(own);
        users.or_else(|| groups.find(|id| self.group(**id).is_none())).copied()
    }
}

fn outside(map: &[IdRange], inside: u32) -> Option<u32> {
    let offset = |range: &IdRange| inside.checked_sub(range.0).filter(|off| *off < range.2);
    map.iter().find_map(|range| range.1.checked_add(offset(range)?))
}

fn inside(map: &[IdRange], outside: u32) -> Option<u32> {
    let offset = |range: &IdRange| outside.checked_sub(range.1).filter(|off| *off < range.2);
    map.iter().find_map(|range| Some(range.0 + offset(range)?))
}

impl Resource for IdMaps {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::User));
    }

    fn check(&self) -> Result<(), String> {
        let fits = |(inside, outside, len): &IdRange| {
            *len > 0 && [inside, outside].iter().all(|first| first.checked_add(len - 1).is_some())
        };
        for map in [&self.users, &self.groups, &self.projects] {
            ensure(map.len() <= MOST, "a map has more lines than it can")?;
            ensure(map.iter().all(fits), "a line of a map goes beyond the last id")?;
        }
        Ok(())
    }
}

impl Tree {
    /// The maps of the user namespace of a process, where that is the tree's own.
    pub fn id_maps(&self, pid: Pid) -> Option<&IdMaps> {
        self.get::<IdMaps>(self.get::<Namespaces>(pid)?.user)
    }

    /// Whether a user namespace is another one, or lies in it. All of those that were not the tree's own are one.
    pub fn user_lies_in(&self, mut one: NsId, other: NsId) -> bool {
        let own = |id| self.get::<Namespace>(id).filter(|space| !space.inherited);
        if own(other).is_none() {
            return true;
        }
        for _ in 0..DEEPEST {
            if one == other {
                return true;
            }
            let Some(around) = own(one).and_then(|space| space.parent) else { return false };
            one = around;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_from_outside() {
        let maps = IdMaps {
            id: NsId(1),
            owner: 0,
            users: vec![(0, 1000, 1), (1, 100_000, 65_535)],
            groups: vec![(5, 0, u32::MAX - 5)],
            projects: Vec::new(),
            denies_groups: false,
        };
        assert_eq!(
            [1000, 100_000, 165_534].map(|id| maps.user(id)),
            [Some(0), Some(1), Some(65_535)]
        );
        assert_eq!([0, 1001, 165_535].map(|id| maps.user(id)), [None; 3]);
        assert_eq!(maps.group(7), Some(12));
        assert_eq!(maps.anybody(), Some((0, 5)));
        assert!(maps.check().is_ok());
        let torn = IdMaps { groups: vec![(5, 0, u32::MAX)], ..maps };
        assert!(torn.check().is_err());
    }
}
