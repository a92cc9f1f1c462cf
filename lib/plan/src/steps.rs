//! The order of the work.

use crate::{HOLE, Tree};
use floe_records::*;
use std::fmt;

/// One step of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A stub with this pid; the root has no parent in the tree.
    Create(Pid, Option<Pid>),
    /// setsid(2).
    Session(Pid),
    /// A leader for a process group whose own has ended, made by a member.
    Leader(Pid, Pid),
    /// setpgid(2).
    Group(Pid, Pid),
    /// That leader is not needed any more.
    Dismiss(Pid, Pid),
    /// Map the address space.
    Map(Pid),
    /// Put the descriptors on their numbers.
    Descriptors(Pid),
    /// Start a thread.
    Thread(Pid, Tid),
    /// Limits, signals, directories and the like.
    Settings(Pid),
    /// Read pages into place.
    Fill,
    /// Final protections, credentials, timers, registers.
    Finish(Pid),
    /// Let all run.
    Release,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(pid, None) => write!(f, "create {pid} as root"),
            Self::Create(pid, Some(parent)) => write!(f, "create {pid} in {parent}"),
            Self::Session(pid) => write!(f, "new session for {pid}"),
            Self::Leader(group, by) => write!(f, "leader of process group {group}, by {by}"),
            Self::Dismiss(group, by) => write!(f, "end the leader of {group}, by {by}"),
            Self::Group(pid, group) => write!(f, "put {pid} into process group {group}"),
            Self::Map(pid) => write!(f, "map the address space of {pid}"),
            Self::Descriptors(pid) => write!(f, "descriptors of {pid}"),
            Self::Thread(pid, tid) => write!(f, "start thread {tid} of {pid}"),
            Self::Settings(pid) => write!(f, "settings of {pid}"),
            Self::Fill => write!(f, "fill memory"),
            Self::Finish(pid) => write!(f, "finish {pid}"),
            Self::Release => write!(f, "release all"),
        }
    }
}

/// The steps, and the address of a hole that is free in every process and in `taken` ranges.
pub fn plan(tree: &Tree, taken: &[(u64, u64)]) -> Result<(Vec<Step>, u64), Refusals> {
    let no = tree.check();
    if !no.0.is_empty() {
        return Err(no);
    }
    let mut no = Vec::new();
    let mut steps = Vec::new();
    let alive: Vec<_> =
        tree.processes.iter().filter(|p| !matches!(p.state, State::Zombie(_))).collect();
    if let Some(root) = tree.root() {
        create(tree, root, None, &mut steps, &mut no);
    }
    let leaders = tree.lost_leaders();
    steps.extend(leaders.iter().map(|(group, by)| Step::Leader(*group, *by)));
    for own in [true, false] {
        for p in tree.processes.iter().filter(|p| (p.pgid == p.pid) == own && p.sid != p.pid) {
            let lost = leaders.iter().any(|(group, _)| *group == p.pgid);
            if own || lost || tree.processes.iter().any(|q| q.pid == p.pgid) {
                steps.push(Step::Group(p.pid, p.pgid));
            }
        }
    }
    steps.extend(leaders.iter().map(|(group, by)| Step::Dismiss(*group, *by)));
    for p in &alive {
        steps.extend([Step::Map(p.pid), Step::Descriptors(p.pid)]);
        let threads = tree.threads.iter().filter(|t| t.pid == p.pid && t.tid.0 != p.pid.0);
        steps.extend(threads.map(|t| Step::Thread(t.pid, t.tid)));
        steps.push(Step::Settings(p.pid));
    }
    steps.push(Step::Fill);
    steps.extend(alive.iter().map(|p| Step::Finish(p.pid)));
    steps.push(Step::Release);
    if no.is_empty() { Ok((steps, hole(tree, taken))) } else { Err(Refusals(no)) }
}

/// A process and those below it. Who is to be in the session that its parent was born in comes before the parent makes
/// one of its own.
fn create(
    tree: &Tree,
    p: &Process,
    parent: Option<&Process>,
    steps: &mut Vec<Step>,
    no: &mut Vec<Refusal>,
) {
    steps.push(Step::Create(p.pid, parent.map(|parent| parent.pid)));
    let born = birth(tree, p).unwrap_or(parent.map_or(p.sid, |parent| parent.sid));
    let (late, early): (Vec<&Process>, Vec<&Process>) =
        tree.children(p.pid).partition(|child| birth(tree, child).is_none_or(|sid| sid == p.sid));
    for child in early {
        if birth(tree, child) != Some(born) {
            let object = format!("session {}", child.sid);
            no.push(refuse(child.pid, object, "is none that its parent has been in"));
        }
        create(tree, child, Some(p), steps, no);
    }
    if p.sid == p.pid {
        steps.push(Step::Session(p.pid));
    }
    for child in late {
        create(tree, child, Some(p), steps, no);
    }
}

/// The session that a process must be born in; `None` for any: it makes its own, and nobody below it needs another.
fn birth(tree: &Tree, p: &Process) -> Option<Pid> {
    if p.sid != p.pid {
        return Some(p.sid);
    }
    tree.children(p.pid).find_map(|child| birth(tree, child).filter(|sid| *sid != p.pid))
}

fn refuse(pid: Pid, object: String, problem: &str) -> Refusal {
    Refusal { pid: Some(pid), object, problem: problem.into(), hint: String::new() }
}

fn hole(tree: &Tree, taken: &[(u64, u64)]) -> u64 {
    let mut at = 0x1000_0000;
    let ranges: Vec<_> = tree
        .vmas
        .values()
        .flatten()
        .map(|v| (v.start.0, v.end.0))
        .chain(taken.iter().copied())
        .collect();
    while let Some(hit) =
        ranges.iter().find(|r| r.0 < at + HOLE + 0x10_0000 && at < r.1 + 0x10_0000)
    {
        at = (hit.1 + 0x20_0000) & !0xffff;
    }
    at
}
