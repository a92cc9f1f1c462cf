//! In which order processes are made, so that each is born into the session that it is to be in.
//!
//! A child that belongs to the session which its parent was born in comes before the parent makes one of its own.

use crate::{Step, check::Found, shared::Shared, terminals};
use floe_records::{Finding, Namespace, Namespaces, NsKind, Pid, Process, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do; no recursion, since a chain of processes may be as long as a stranger likes.
enum Work<'a> {
    Create(&'a Process, Option<(Pid, Pid)>),
    Session(Pid),
}

/// Steps that make all processes of a tree, and what those share.
pub(crate) fn create(tree: &Tree, steps: &mut Vec<Step>, found: &mut Found) -> Shared {
    let shared = Shared::find(tree, found);
    let births = births(tree);
    let terminals = terminals::of_sessions(tree);
    let birth = |p: &Process| births.get(&p.pid).copied().flatten();
    // That of restore takes the place of the session that the root was born in.
    let outer = tree
        .root()
        .filter(|root| birth(root).is_some_and(|sid| tree.get::<Process>(sid).is_some()));
    if let Some(root) = outer {
        let problem = "it is in a session of a process that is not above it";
        found.add(|| Finding::of(root.pid, "session", "plan.session", problem));
    }
    let mut stack: Vec<Work<'_>> =
        tree.root().map(|root| Work::Create(root, None)).into_iter().collect();
    while let Some(work) = stack.pop() {
        let (p, parent) = match work {
            Work::Session(pid) => {
                steps.push(Step::Session(pid));
                // What it makes from here on is born with it.
                steps.extend(terminals.get(&pid).map(|pty| Step::Controlling(pid, *pty)));
                continue;
            }
            Work::Create(p, parent) => (p, parent),
        };
        let maker = parent.map(|_| p.maker);
        steps.push(Step::Create(p.pid, maker, shared.with_parent(p.pid)));
        // What it makes is born there.
        steps.extend(
            is_elsewhere(tree, p, parent.map(|(pid, _)| pid)).then_some(Step::Enter(p.pid)),
        );
        // They have the table and the directories of their process, whatever becomes of those.
        let makers = tree.threads(p.pid).filter(|t| t.tid.0 != p.pid.0 && tree.is_maker(t.tid));
        steps.extend(makers.map(|thread| Step::Thread(p.pid, thread.tid)));
        let born = birth(p).unwrap_or(parent.map_or(p.sid, |(_, sid)| sid));
        let (late, early): (Vec<&Process>, Vec<&Process>) =
            tree.children(p.pid).partition(|child| birth(child).is_none_or(|sid| sid == p.sid));
        for child in &early {
            if birth(child) != Some(born) {
                let object = format!("session {}", child.sid);
                let problem = "its parent has never been in it";
                found.add(|| Finding::of(child.pid, object, "plan.session", problem));
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
    shared
}

/// Whether a process is in another namespace than the one that it is born in: that of its parent, or of restore, which goes into
/// those of other kinds itself.
fn is_elsewhere(tree: &Tree, p: &Process, parent: Option<Pid>) -> bool {
    const ENTERED: [NsKind; 6] =
        [NsKind::Cgroup, NsKind::Ipc, NsKind::Mnt, NsKind::Net, NsKind::User, NsKind::Uts];
    let spaces = |pid: Pid| tree.get::<Namespaces>(pid);
    let Some(own) = spaces(p.pid) else { return false };
    match parent {
        Some(parent) => spaces(parent)
            .is_some_and(|theirs| ENTERED.iter().any(|kind| theirs.of(*kind) != own.of(*kind))),
        None => [NsKind::Cgroup, NsKind::Mnt, NsKind::User]
            .iter()
            .any(|kind| tree.get::<Namespace>(own.of(*kind)).is_some_and(|own| !own.inherited)),
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

/// Steps that put all processes into their groups, by the rules of setpgid(2): a process that gives a group its name makes
/// it, also where it is in another one by now; then the others join; those that are elsewhere by now go last.
pub(crate) fn groups(tree: &Tree, steps: &mut Vec<Step>, found: &mut Found) {
    let leaders = tree.lost_leaders();
    let lost: BTreeSet<Pid> = leaders.iter().map(|(group, _)| *group).collect();
    let all = tree.all::<Process>();
    let named: BTreeSet<Pid> = all.iter().map(|p| p.pgid).collect();
    let moved = |p: &&Process| p.pgid != p.pid && named.contains(&p.pid);
    // The group of the root outside: what is in no other one has been born in that of restore.
    let is_here = |group: Pid| lost.contains(&group) || tree.get::<Process>(group).is_some();
    steps.extend(leaders.iter().map(|(group, by)| Step::Leader(*group, *by)));
    let makers = all.iter().filter(|p| p.sid != p.pid && named.contains(&p.pid));
    steps.extend(makers.map(|p| Step::Group(p.pid, p.pid)));
    let staying = all.iter().filter(|p| p.pgid != p.pid && !moved(p));
    let joined: BTreeSet<Pid> = staying.clone().map(|p| p.pgid).collect();
    let staying = staying.filter(|p| is_here(p.pgid));
    steps.extend(staying.map(|p| Step::Group(p.pid, p.pgid)));
    for p in all.iter().filter(moved) {
        if !joined.contains(&p.pid) || !is_here(p.pgid) {
            let problem = "its members cannot be brought there again: they have changed places";
            let object = format!("process group {}", p.pid);
            found.add(|| Finding::of(p.pid, object, "plan.group", problem));
        }
        steps.push(Step::Group(p.pid, p.pgid));
    }
    steps.extend(leaders.iter().map(|(group, by)| Step::Dismiss(*group, *by)));
}
