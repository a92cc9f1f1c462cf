//! Ids of processes, threads, groups and sessions, and who is whose parent.

use super::{Found, is_thread, lives};
use crate::Machine;
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(tree: &Tree, machine: &Machine, found: &mut Found) {
    let Some(root) = tree.root() else { return };
    let mut refuse = |pid, rule: &str, problem: &str| {
        found.add(|| Finding::of(pid, "process", rule, problem));
    };
    if matches!(root.state, State::Zombie(_)) {
        refuse(root.pid, "plan.root", "the root of the tree has ended");
    }
    if tree.get::<Process>(root.ppid).is_some() {
        refuse(root.pid, "plan.parent", "the root of the tree has a parent in it");
    }
    let mut seen = BTreeSet::from([root.pid]);
    for p in tree.all::<Process>().iter().skip(1) {
        if !seen.contains(&p.ppid) {
            refuse(p.pid, "plan.parent", "its parent does not stand before it in the stream");
        } else if !lives(tree, p.ppid) {
            refuse(p.pid, "plan.parent", "its parent has ended");
        } else if !is_thread(tree, p.ppid, p.maker) {
            refuse(
                p.pid,
                "plan.parent",
                "it is the child of a thread that its parent does not have",
            );
        }
        seen.insert(p.pid);
    }
    shares(tree, &mut refuse);
    numbers(tree, machine, &mut refuse);
    groups(tree, root, &mut refuse);
    threads(tree, machine, &mut refuse);
}

/// What a process shares it has from one that has it itself. Those that share signal actions share their memory.
fn shares(tree: &Tree, refuse: Refuse<'_>) {
    let mut before = BTreeSet::new();
    for p in tree.all::<Process>() {
        let owners = Share::ALL.map(|share| (share, p.shares.of(share)));
        for (share, owner) in owners.into_iter().filter(|(_, owner)| *owner != p.pid) {
            let has = before.contains(&owner) && tree.owner(owner, share) == owner;
            if !has || !lives(tree, p.pid) {
                refuse(
                    p.pid,
                    "plan.shares",
                    "it shares something with no process before it that has it",
                );
            }
            let memory = |pid| tree.owner(pid, Share::Memory);
            if share == Share::Actions && memory(owner) != memory(p.pid) {
                refuse(p.pid, "plan.shares", "it shares its signal actions and not its memory");
            }
        }
        before.extend(lives(tree, p.pid).then_some(p.pid));
    }
}

/// Whether a number can be given to a process here.
fn is_pid(number: u32, machine: &Machine) -> bool {
    // PID_MAX_LIMIT.
    (1..machine.pid_max.min(4_194_304)).contains(&number)
}

type Refuse<'a> = &'a mut dyn FnMut(Pid, &str, &str);

fn numbers(tree: &Tree, machine: &Machine, refuse: Refuse<'_>) {
    for p in tree.all::<Process>() {
        if !is_pid(p.pid.0, machine) {
            refuse(p.pid, "plan.pid", "no process has such an id here (kernel.pid_max)");
        }
        let thread = tree.get::<Thread>(Tid(p.pid.0));
        if thread.is_some_and(|thread| thread.pid != p.pid) {
            refuse(p.pid, "plan.pid", "a thread of another process has its id");
        }
        if thread.is_none() && lives(tree, p.pid) {
            refuse(p.pid, "plan.missing", "its leader is missing");
        }
    }
    for (group, by) in tree.lost_leaders() {
        if !is_pid(group.0, machine) || tree.get::<Thread>(Tid(group.0)).is_some() {
            refuse(by, "plan.group", "its process group has an id that no leader can have");
        }
    }
}

/// A group lies in one session, and a session is that of its leader.
fn groups(tree: &Tree, root: &Process, refuse: Refuse<'_>) {
    let mut sessions = BTreeMap::new();
    for p in tree.all::<Process>() {
        if p.sid == p.pid && p.pgid != p.pid {
            refuse(p.pid, "plan.session", "it leads a session and not its own process group");
        }
        let leader = tree.get::<Process>(p.pgid);
        let session = *sessions.entry(p.pgid).or_insert(leader.map_or(p.sid, |leader| leader.sid));
        if session != p.sid {
            refuse(p.pid, "plan.group", "its process group lies in two sessions");
        }
        let leader = tree.get::<Process>(p.sid);
        if leader.is_some_and(|leader| leader.sid != leader.pid) {
            refuse(p.pid, "plan.session", "the process that its session is named by leads none");
        }
        if p.sid != p.pid && p.sid == root.sid && root.sid != root.pid && leader.is_some() {
            refuse(p.pid, "plan.session", "its session is led by a process below the root");
        }
    }
}

fn threads(tree: &Tree, machine: &Machine, refuse: Refuse<'_>) {
    let mut last = None;
    for t in tree.all::<Thread>() {
        if !is_pid(t.tid.0, machine) {
            refuse(t.pid, "plan.tid", "no thread has such an id here (kernel.pid_max)");
        }
        let leader = t.tid.0 == t.pid.0;
        if last != Some(t.pid) && !leader {
            refuse(t.pid, "plan.thread", "its leader is not the first of its threads");
        }
        last = Some(t.pid);
    }
    for timers in tree.all::<Timers>() {
        // A thread that has ended hears nothing any more.
        let told = timers.posix.iter().filter_map(|timer| tree.get::<Thread>(timer.tid?));
        let other = told.filter(|thread| thread.pid != timers.pid).count();
        if other > 0 {
            refuse(timers.pid, "plan.timers", "a timer notifies a thread of another process");
        }
    }
}
