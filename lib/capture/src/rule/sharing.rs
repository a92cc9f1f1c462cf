//! What processes share that restore would give each of them a copy of: memory after vfork(2), tables after a clone(2)
//! that makes no thread. And the reverse: threads that have left what their process shares (unshare(2), setns(2)).

use crate::{
    Result,
    subject::{OF_THREADS, Process},
};
use floe_proc::is_dead;
use floe_records::{Finding, Findings, Pid};
use floe_sys::{Shared, kcmp_shared};
use std::cmp::Ordering;

const KINDS: [(Shared, &str); 4] = [
    (Shared::Vm, "memory"),
    (Shared::Files, "descriptor table"),
    (Shared::Fs, "working directory, root and umask"),
    (Shared::Sighand, "signal actions"),
];
/// Looks at the living processes of a tree of `pids`: who shares with another one, inside or outside of it.
pub(crate) fn processes(living: &[u32], pids: &[u32], out: &mut Findings) -> Result<()> {
    let mut outside = floe_proc::numbers_in("/proc")?;
    let inside: std::collections::BTreeSet<u32> = pids.iter().copied().collect();
    outside.retain(|pid| !inside.contains(pid));
    among(living, &outside, out)
}

/// Looks at the living processes of a tree that stands still, and at the parent of its root (0 for none), which may wait for
/// it in vfork(2) and then shares its memory.
pub(crate) fn held(living: &[u32], parent: u32, out: &mut Findings) -> Result<()> {
    let parent = Some(parent).filter(|parent| *parent != 0);
    among(living, parent.as_slice(), out)
}

/// Of processes that have just ended nothing is found: they share nothing any more.
fn among(inside: &[u32], outside: &[u32], out: &mut Findings) -> Result<()> {
    let mut memory_is_shared = false;
    for (kind, what) in KINDS {
        // Signal actions are shared only by those that share memory too (CLONE_SIGHAND of clone(2)).
        if kind == Shared::Sighand && !memory_is_shared {
            continue;
        }
        let mut sorted: Vec<u32> = Vec::with_capacity(inside.len());
        let mut share = |pid, with| {
            memory_is_shared |= kind == Shared::Vm;
            let problem = format!("it shares it with process {with}");
            let finding = Finding::of(Pid(pid), what, "process.shares", problem);
            out.refuse(finding.hint("have it call execve(2) or unshare(2) first"));
        };
        for &pid in inside {
            match place(&sorted, pid, kind)? {
                Some(Ok(at)) => share(pid, sorted[at]),
                Some(Err(at)) => sorted.insert(at, pid),
                None => {}
            }
        }
        for &other in outside {
            if let Some(Ok(at)) = place(&sorted, other, kind)? {
                share(sorted[at], other);
            }
        }
    }
    Ok(())
}

/// Where a process belongs among others that are sorted by what they have of a kind: the one that shares it, or a place of
/// its own. `None` for a process that has just ended, which shares nothing.
fn place(sorted: &[u32], pid: u32, kind: Shared) -> Result<Option<Result<usize, usize>>> {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        let middle = low.midpoint(high);
        match kcmp_shared(sorted[middle] as i32, pid as i32, kind) {
            Ok(Ordering::Equal) => return Ok(Some(Ok(middle))),
            Ok(Ordering::Less) => low = middle + 1,
            Ok(Ordering::Greater) => high = middle,
            // The one that it is compared with has ended: the next one serves as well.
            Err(_) if is_dead(sorted[middle])? && !is_dead(pid)? => low = middle + 1,
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(Err(low)))
}

/// Looks at the threads of a process.
pub(crate) fn threads(process: &Process<'_>, out: &mut Findings) -> Result<()> {
    let pid = process.pid;
    let leaders = OF_THREADS.map(|name| process.namespace(name));
    for thread in process.tasks.iter().filter(|thread| thread.tid != pid) {
        let tid = thread.tid;
        let own = |kind: &(Shared, &str)| {
            let order = kcmp_shared(pid as i32, tid as i32, kind.0);
            order.is_ok_and(|order| order != Ordering::Equal)
        };
        let kinds = [(Shared::Files, KINDS[1].1), (Shared::Fs, KINDS[2].1)];
        let mut left: Vec<String> =
            kinds.iter().filter(|kind| own(kind)).map(|(_, what)| (*what).to_owned()).collect();
        let theirs = thread.namespaces.unwrap_or(leaders);
        let differing = OF_THREADS.iter().zip(theirs.iter().zip(&leaders));
        let differing: Vec<_> = differing.filter(|(_, (theirs, own))| theirs != own).collect();
        // One that is just ending has no namespaces any more.
        if !differing.is_empty() && !is_dead(tid)? {
            left.extend(differing.iter().map(|(name, _)| format!("{name} namespace")));
        }
        for what in left {
            let problem = format!("thread {tid} has one of its own");
            out.refuse(Finding::of(Pid(pid), what, "thread.own", problem));
        }
    }
    Ok(())
}
