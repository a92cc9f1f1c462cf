//! Which processes and threads are put into other cgroups than those which have made them.

use crate::Step;
use floe_records::*;
use std::collections::BTreeMap;

/// Where each thread is that is listed anywhere, by the rows of those cgroups.
pub(crate) struct Places<'a> {
    tree: &'a Tree,
    rows: Option<BTreeMap<Tid, Vec<usize>>>,
}

impl<'a> Places<'a> {
    pub fn of(tree: &'a Tree) -> Self {
        let all = tree.all::<Cgroup>();
        let mut places: BTreeMap<Tid, Vec<usize>> = BTreeMap::new();
        for (row, cgroup) in all.iter().enumerate() {
            if let Members::Listed(listed) = &cgroup.members {
                listed.iter().for_each(|(_, tid)| places.entry(*tid).or_default().push(row));
            }
        }
        Self { tree, rows: (!all.is_empty()).then_some(places) }
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.rows.is_some()
    }

    /// What is to be done when a thread is there. The root is made by restore, which may be anywhere; one that has ended is
    /// nowhere.
    pub fn join(&self, tid: Tid, maker: Option<Tid>) -> Option<Step> {
        let (rows, _) = (self.rows.as_ref()?, self.tree.get::<Thread>(tid)?);
        let moves = maker.is_none_or(|maker| rows.get(&maker) != rows.get(&tid));
        moves.then_some(Step::Join(tid))
    }

    /// Each process is put where it belongs before anything is made in it.
    pub fn processes(&self, steps: Vec<Step>) -> Vec<Step> {
        if !self.any() {
            return steps;
        }
        let mut all = Vec::with_capacity(steps.len());
        for step in steps {
            all.push(step);
            match step {
                Step::Create(pid, maker, _) => all.extend(self.join(Tid(pid.0), maker)),
                Step::Thread(pid, tid) => all.extend(self.join(tid, Some(Tid(pid.0)))),
                _ => {}
            }
        }
        all
    }
}
