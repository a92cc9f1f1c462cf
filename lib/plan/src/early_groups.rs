//! Process groups that some of their members have no number for: their leaders are in pid namespaces further outside. Those members are
//! put there by their parents, or born there, so these groups are made with their processes, and not behind them.

use crate::{Step, check::Found};
use floe_records::{Finding, Pid, Process, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Such groups, and what becomes of them while processes are made.
pub(crate) struct EarlyGroups {
    all: BTreeSet<Pid>,
    /// Those whose leader has ended, each with the member that makes it.
    lost: BTreeMap<Pid, Pid>,
    /// The group that each process is in by now.
    now: BTreeMap<Pid, Pid>,
    settled: BTreeSet<Pid>,
    /// That of the root, whose place the one of restore takes where it lives on outside.
    outside: Option<Pid>,
}

fn sees(tree: &Tree, p: &Process, group: Pid) -> bool {
    tree.seen_by(p.pid, group.0).is_some()
}

impl EarlyGroups {
    pub fn of(tree: &Tree) -> Self {
        let outside = tree.root().map(|root| root.pgid);
        let outside = outside.filter(|group| tree.get::<Process>(*group).is_none());
        let blind = tree.all::<Process>().iter().filter(|p| !sees(tree, p, p.pgid));
        let all: BTreeSet<Pid> =
            blind.map(|p| p.pgid).filter(|group| Some(*group) != outside).collect();
        let mut lost: BTreeMap<Pid, Pid> = tree.lost_leaders().into_iter().collect();
        lost.retain(|group, _| all.contains(group));
        Self { all, lost, now: BTreeMap::new(), settled: BTreeSet::new(), outside }
    }

    /// The processes that are in their groups.
    pub fn settled(self) -> BTreeSet<Pid> {
        self.settled
    }

    /// The group that must be there before a process is made.
    pub fn awaited_by(&self, p: &Process) -> Option<Pid> {
        let makes = p.pid == p.pgid || self.lost.get(&p.pgid) == Some(&p.pid);
        (self.all.contains(&p.pgid) && !makes).then_some(p.pgid)
    }

    /// A process leads a session now.
    pub fn leads(&mut self, p: &Process) {
        self.now.insert(p.pid, p.pid);
    }

    /// Puts a process that was just made into its group, if that is such a one; gives a group that is there now.
    pub fn enter(
        &mut self,
        tree: &Tree,
        p: &Process,
        parent: Option<&Process>,
        steps: &mut Vec<Step>,
        found: &mut Found,
    ) -> Option<Pid> {
        if self.all.is_empty() {
            return None;
        }
        let born = parent.map_or(self.outside, |parent| self.now.get(&parent.pid).copied());
        self.now.extend(born.map(|born| (p.pid, born)));
        let mut refuse = |problem: &str| {
            let object = format!("process group {}", p.pgid);
            found.add(|| Finding::of(p.pid, object, "plan.group", problem));
        };
        if p.sid == p.pid {
            return None;
        }
        if !self.all.contains(&p.pgid) {
            if Some(p.pgid) == self.outside && born != self.outside {
                refuse("it has no leader here, and its parent is in another one");
            }
            return None;
        }
        self.settled.insert(p.pid);
        self.now.insert(p.pid, p.pgid);
        let place = Step::Group(p.pid, p.pgid);
        if p.pid == p.pgid {
            steps.push(place);
            return Some(p.pgid);
        }
        if self.lost.get(&p.pgid) == Some(&p.pid) {
            let (leader, dismiss) = (Step::Leader(p.pgid, p.pid), Step::Dismiss(p.pgid, p.pid));
            steps.extend([leader, place, dismiss]);
            return Some(p.pgid);
        }
        let parent = parent.filter(|parent| parent.sid == p.sid && sees(tree, parent, p.pgid));
        match parent {
            _ if sees(tree, p, p.pgid) => steps.push(place),
            Some(parent) => steps.push(Step::Place(parent.pid, p.pid, p.pgid)),
            None if born == Some(p.pgid) => {}
            None => refuse("neither it nor its parent has a number for it"),
        }
        None
    }
}
