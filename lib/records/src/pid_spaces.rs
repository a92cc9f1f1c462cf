//! Pid namespaces of a tree: that of the root, whose ids all records have, and those below it.

use crate::{Namespace, Namespaces, NsId, NsKind, Pid, PidNames, Process, Thread, Tid, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Deepest level (MAX_PID_NS_LEVEL of include/linux/pid_namespace.h).
const DEEPEST: usize = 32;
/// The first process of a pid namespace, inside.
const INIT: u32 = 1;

/// What tasks are called where, found once.
#[derive(Clone, Debug, Default)]
pub(crate) struct PidSpaces {
    names: BTreeMap<(NsId, u32), u32>,
    inits: BTreeMap<NsId, Pid>,
    /// The innermost namespace that knows an id.
    innermost: BTreeMap<u32, NsId>,
}

impl PidSpaces {
    pub fn of(tree: &Tree) -> Self {
        let mut all = tree.all::<PidNames>().iter().collect::<Vec<_>>();
        // Those that lie in others come last.
        all.sort_by_key(|space| tree.pid_spaces_from(space.id).map_or(0, |around| around.len()));
        let mut found = Self::default();
        for space in all {
            for &(id, name) in &space.names {
                found.names.insert((space.id, id), name);
                found.innermost.insert(id, space.id);
                if name == INIT {
                    found.inits.insert(space.id, Pid(id));
                }
            }
        }
        found
    }
}

impl Tree {
    /// All ids that tasks, process groups and sessions have in the pid namespace of the root.
    pub fn ids(&self) -> BTreeSet<u32> {
        let threads = self.all::<Thread>().iter().map(|thread| thread.tid.0);
        let processes = self.all::<Process>().iter().flat_map(|p| [p.pid.0, p.pgid.0, p.sid.0]);
        threads.chain(processes).collect()
    }

    /// The pid namespace that all ids of the records are of: that of the root.
    pub fn root_pids(&self) -> NsId {
        let root = self.root().and_then(|root| self.get::<Namespaces>(root.pid));
        root.map_or(NsId(0), |all| all.pid_ns)
    }

    /// The pid namespace that a process is in, also of one that has ended.
    pub fn pid_space(&self, pid: Pid) -> NsId {
        let lives = self.get::<Namespaces>(pid).map(|all| all.pid_ns);
        let innermost = || self.pids().innermost.get(&pid.0).copied();
        lives.or_else(innermost).unwrap_or_else(|| self.root_pids())
    }

    /// A pid namespace and those around it, up to that of the root and without it. `None` where they do not lead there.
    pub fn pid_spaces_from(&self, id: NsId) -> Option<Vec<NsId>> {
        let (root, mut all, mut next) = (self.root_pids(), Vec::new(), id);
        while next != root {
            let space = self.get::<Namespace>(next).filter(|space| space.kind == NsKind::Pid)?;
            if all.len() == DEEPEST {
                return None;
            }
            all.push(next);
            next = space.parent?;
        }
        Some(all)
    }

    /// What a task, a process group or a session is called in a pid namespace; `None` where it has no name.
    pub fn name_in(&self, space: NsId, id: u32) -> Option<u32> {
        match space == self.root_pids() {
            true => Some(id),
            false => self.pids().names.get(&(space, id)).copied(),
        }
    }

    /// What a process calls a task, a process group or a session.
    pub fn seen_by(&self, pid: Pid, id: u32) -> Option<u32> {
        self.name_in(self.pid_space(pid), id)
    }

    /// What an id is called in a pid namespace and in those around it, the innermost first, as `set_tid` of clone3(2) has them.
    pub fn names_from(&self, space: NsId, id: u32) -> Option<Vec<u32>> {
        let spaces = self.pid_spaces_from(space)?.into_iter().chain([self.root_pids()]);
        spaces.map(|space| self.name_in(space, id)).collect()
    }

    /// The init of a pid namespace below that of the root.
    pub fn init_of(&self, space: NsId) -> Option<Pid> {
        self.pids().inits.get(&space).copied()
    }

    /// The process that a thread is one of; a process that has ended has its own id alone.
    pub fn process_of(&self, tid: Tid) -> Pid {
        self.get::<Thread>(tid).map_or(Pid(tid.0), |thread| thread.pid)
    }
}
