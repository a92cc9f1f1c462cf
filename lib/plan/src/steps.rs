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
    let root = tree.root().map_or(Pid(0), |p| p.pid);
    let alive: Vec<_> =
        tree.processes.iter().filter(|p| !matches!(p.state, State::Zombie(_))).collect();
    for p in &tree.processes {
        steps.push(Step::Create(p.pid, (p.pid != root).then_some(p.ppid)));
        if p.sid == p.pid {
            steps.push(Step::Session(p.pid));
        } else if p.pid != root && tree.processes.iter().any(|q| q.pid == p.ppid && q.sid != p.sid)
        {
            no.push(refuse(p.pid, format!("session {}", p.sid), "is not that of its parent"));
        }
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
