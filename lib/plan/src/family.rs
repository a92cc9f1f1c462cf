//! In which order processes are made, so that each is born into the session that it is to be in.
//!
//! A child that belongs to the session which its parent was born in comes before the parent makes one of its own.

use crate::Step;
use floe_records::{Finding, Pid, Process, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do; no recursion, since a chain of processes may be as long as a stranger likes.
enum Work<'a> {
    Create(&'a Process, Option<(Pid, Pid)>),
    Session(Pid),
}

/// Steps that make all processes of a tree.
pub(crate) fn create(tree: &Tree, steps: &mut Vec<Step>, no: &mut Vec<Finding>) {
    let births = births(tree);
    let birth = |p: &Process| births.get(&p.pid).copied().flatten();
    let mut stack: Vec<Work<'_>> =
        tree.root().map(|root| Work::Create(root, None)).into_iter().collect();
    while let Some(work) = stack.pop() {
        let (p, parent) = match work {
            Work::Session(pid) => {
                steps.push(Step::Session(pid));
                continue;
            }
            Work::Create(p, parent) => (p, parent),
        };
        steps.push(Step::Create(p.pid, parent.map(|(pid, _)| pid)));
        let born = birth(p).unwrap_or(parent.map_or(p.sid, |(_, sid)| sid));
        let (late, early): (Vec<&Process>, Vec<&Process>) =
            tree.children(p.pid).partition(|child| birth(child).is_none_or(|sid| sid == p.sid));
        for child in &early {
            if birth(child) != Some(born) {
                let object = format!("session {}", child.sid);
                let problem = "its parent has never been in it";
                no.push(Finding::of(child.pid, object, "plan.session", problem));
            }
        }
        // The last one that is pushed is the first to be worked on.
        let parent = Some((p.pid, p.sid));
        stack.extend(late.into_iter().rev().map(|child| Work::Create(child, parent)));
        if p.sid == p.pid {
            stack.push(Work::Session(p.pid));
        }
        stack.extend(early.into_iter().rev().map(|child| Work::Create(child, parent)));
    }
}

/// The session that each process must be born in; `None` for any: it makes its own, and no process below it needs another.
fn births(tree: &Tree) -> BTreeMap<Pid, Option<Pid>> {
    let mut births: BTreeMap<Pid, Option<Pid>> = BTreeMap::new();
    // Children stand behind their parents.
    for p in tree.all::<Process>().iter().rev() {
        let needs = |child: &Process| {
            let birth = births.get(&child.pid).copied().flatten();
            birth.filter(|sid| *sid != p.pid)
        };
        let birth = if p.sid == p.pid { tree.children(p.pid).find_map(needs) } else { Some(p.sid) };
        births.insert(p.pid, birth);
    }
    births
}

/// Steps that put all processes into their groups.
pub(crate) fn groups(tree: &Tree, steps: &mut Vec<Step>) {
    let leaders = tree.lost_leaders();
    let lost: BTreeSet<Pid> = leaders.iter().map(|(group, _)| *group).collect();
    steps.extend(leaders.iter().map(|(group, by)| Step::Leader(*group, *by)));
    for own in [true, false] {
        let some = tree.all::<Process>().iter().filter(|p| p.sid != p.pid);
        for p in some.filter(|p| (p.pgid == p.pid) == own) {
            if own || lost.contains(&p.pgid) || tree.get::<Process>(p.pgid).is_some() {
                steps.push(Step::Group(p.pid, p.pgid));
            }
        }
    }
    steps.extend(leaders.iter().map(|(group, by)| Step::Dismiss(*group, *by)));
}
