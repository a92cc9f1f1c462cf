//! What processes share that restore would give each of them a copy of: memory after vfork(2), tables after a clone(2)
//! that makes no thread. And the reverse: threads that have left what their process shares (unshare(2), setns(2)).

use crate::{
    preflight::refusal,
    proc::{self, Stat},
    process::namespace,
};
use floe_records::Refusal;
use floe_sys::{Shared, kcmp_shared};
use std::{cmp::Ordering, thread::sleep, time::Duration};

const KINDS: [(Shared, &str); 4] = [
    (Shared::Vm, "memory"),
    (Shared::Files, "descriptor table"),
    (Shared::Fs, "working directory, root and umask"),
    (Shared::Sighand, "signal actions"),
];
/// What a thread may have of its own, besides its table and its directories.
const NAMESPACES: [&str; 4] = ["net", "ipc", "uts", "cgroup"];

/// How long a child of vfork(2) may use the memory of its parent.
const LOOKS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(10);

/// What is shared for longer than a child of vfork(2) needs for its execve(2).
pub(crate) fn lasting(pids: &[u32]) -> Vec<Refusal> {
    for _ in 0..LOOKS {
        let mut found = Vec::new();
        processes(pids, &mut found);
        if found.is_empty() {
            return found;
        }
        sleep(PAUSE);
    }
    let mut found = Vec::new();
    processes(pids, &mut found);
    found
}

/// Looks at the processes of a tree, and at the parent of the first one, its root.
pub(crate) fn processes(pids: &[u32], out: &mut Vec<Refusal>) {
    let alive = |pid: &u32| Stat::of(*pid).is_ok_and(|stat| !stat.is_dead());
    let mut all: Vec<u32> = pids.iter().copied().filter(alive).collect();
    // Whoever waits in vfork(2) for the root shares its memory.
    let parent = pids.first().and_then(|root| Stat::of(*root).ok()).map(|stat| stat.ppid());
    all.extend(parent.filter(|parent| *parent != 0 && alive(parent)));
    for (kind, what) in KINDS {
        // A process that has just ended shares nothing.
        let compare =
            |a: &u32, b: &u32| kcmp_shared(*a as i32, *b as i32, kind).unwrap_or_else(|_| a.cmp(b));
        all.sort_by(compare);
        for pair in all.windows(2).filter(|pair| compare(&pair[0], &pair[1]) == Ordering::Equal) {
            let problem = format!("it shares it with process {}", pair[0]);
            out.push(refusal(
                pair[1],
                what,
                &problem,
                "have it call execve(2) or unshare(2) first",
            ));
        }
    }
}

/// Looks at the threads of a process.
pub(crate) fn threads(pid: u32, out: &mut Vec<Refusal>) {
    let others = proc::tids(pid).into_iter().filter(|&tid| tid != pid);
    for tid in others {
        let own = |kind| {
            kcmp_shared(pid as i32, tid as i32, kind).is_ok_and(|order| order != Ordering::Equal)
        };
        let kinds = [(Shared::Files, KINDS[1].1), (Shared::Fs, KINDS[2].1)];
        let kinds =
            kinds.into_iter().filter(|(kind, _)| own(*kind)).map(|(_, what)| what.to_owned());
        for what in kinds.chain(left(pid, tid)) {
            let problem = format!("thread {tid} has one of its own");
            out.push(refusal(pid, &what, &problem, ""));
        }
    }
}

/// The namespaces in which a thread is not where its process is.
fn left(pid: u32, tid: u32) -> impl Iterator<Item = String> {
    let differs = move |name: &&str| {
        let theirs = namespace(tid, name);
        theirs.is_some() && theirs != namespace(pid, name)
    };
    NAMESPACES.into_iter().filter(differs).map(|name| format!("{name} namespace"))
}
