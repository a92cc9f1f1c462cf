//! What processes share that restore would give each of them a copy of: memory after vfork(2), tables after a clone(2)
//! that makes no thread. And the reverse: threads that have left what their process shares (unshare(2), setns(2)).

use crate::{
    proc::{self, Stat},
    process::namespaces::inode,
    subject,
};
use floe_records::{Finding, Findings, Pid};
use floe_sys::{Shared, kcmp_shared};
use std::cmp::Ordering;

const KINDS: [(Shared, &str); 4] = [
    (Shared::Vm, "memory"),
    (Shared::Files, "descriptor table"),
    (Shared::Fs, "working directory, root and umask"),
    (Shared::Sighand, "signal actions"),
];
/// What a thread may have of its own, besides its table and its directories.
const NAMESPACES: [&str; 6] =
    ["net", "ipc", "uts", "cgroup", "pid_for_children", "time_for_children"];

/// Looks at the processes of a tree: who shares with another one, inside or outside of it.
pub(crate) fn processes(pids: &[u32], out: &mut Findings) {
    let mut outside = proc::numbers_in("/proc");
    let inside: std::collections::BTreeSet<u32> = pids.iter().copied().collect();
    outside.retain(|pid| !inside.contains(pid));
    among(pids, &outside, out);
}

/// Looks at the processes of a tree that stands still, and at the parent of the first one, its root: a parent that waits in
/// vfork(2) for the root shares its memory.
pub(crate) fn held(pids: &[u32], out: &mut Findings) {
    let parent = pids.first().and_then(|root| Stat::of(*root).ok()).map(|stat| stat.ppid());
    among(pids, &parent.into_iter().filter(|parent| *parent != 0).collect::<Vec<_>>(), out);
}

fn among(pids: &[u32], outside: &[u32], out: &mut Findings) {
    let inside: Vec<u32> = pids.iter().copied().filter(|pid| !subject::is_dead(*pid)).collect();
    for (kind, what) in KINDS {
        let mut sorted: Vec<u32> = Vec::with_capacity(inside.len());
        let mut share = |pid, with| {
            let problem = format!("it shares it with process {with}");
            let finding = Finding::of(Pid(pid), what, "process.shares", problem);
            out.refuse(finding.hint("have it call execve(2) or unshare(2) first"));
        };
        for &pid in &inside {
            match place(&sorted, pid, kind) {
                Some(Ok(at)) => share(pid, sorted[at]),
                Some(Err(at)) => sorted.insert(at, pid),
                None => {}
            }
        }
        for &other in outside {
            if let Some(Ok(at)) = place(&sorted, other, kind) {
                share(sorted[at], other);
            }
        }
    }
}

/// Where a process belongs among others that are sorted by what they have of a kind: the one that shares it, or a place of
/// its own. `None` for a process that has just ended, which shares nothing.
fn place(sorted: &[u32], pid: u32, kind: Shared) -> Option<Result<usize, usize>> {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        let middle = low.midpoint(high);
        match kcmp_shared(sorted[middle] as i32, pid as i32, kind) {
            Ok(Ordering::Equal) => return Some(Ok(middle)),
            Ok(Ordering::Less) => low = middle + 1,
            Ok(Ordering::Greater) => high = middle,
            // The one that it is compared with has ended: the next one serves as well.
            Err(_) if subject::is_dead(sorted[middle]) && !subject::is_dead(pid) => {
                low = middle + 1
            }
            Err(_) => return None,
        }
    }
    Some(Err(low))
}

/// Looks at the threads of a process.
pub(crate) fn threads(pid: u32, out: &mut Findings) {
    let leader = NAMESPACES.map(|name| (name, inode(pid, name)));
    for tid in subject::others(pid) {
        let own = |kind| {
            kcmp_shared(pid as i32, tid as i32, kind).is_ok_and(|order| order != Ordering::Equal)
        };
        let kinds = [(Shared::Files, KINDS[1].1), (Shared::Fs, KINDS[2].1)];
        let kinds =
            kinds.into_iter().filter(|(kind, _)| own(*kind)).map(|(_, what)| what.to_owned());
        for what in kinds.chain(left(&leader, tid)) {
            let problem = format!("thread {tid} has one of its own");
            out.refuse(Finding::of(Pid(pid), what, "thread.own", problem));
        }
    }
}

/// The namespaces of its process that a thread has left.
fn left(leader: &[(&str, Option<u64>)], tid: u32) -> impl Iterator<Item = String> {
    // A namespace that has no init yet cannot be read; one that is just ending has none any more.
    let lives = move || !subject::is_dead(tid);
    let differs = move |(name, own): &&(&str, _)| inode(tid, name) != *own && lives();
    leader.iter().filter(differs).map(|(name, _)| format!("{name} namespace"))
}
