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
const NAMESPACES: [&str; 6] =
    ["net", "ipc", "uts", "cgroup", "pid_for_children", "time_for_children"];

/// How long a child of vfork(2) may use the memory of its parent.
const LOOKS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(10);

/// What is shared for longer than a child of vfork(2) needs for its execve(2).
pub(crate) fn lasting(pids: &[u32]) -> Vec<Refusal> {
    let look = || {
        let mut found = Vec::new();
        processes(pids, &mut found);
        found
    };
    let mut found = look();
    for _ in 0..LOOKS {
        if found.is_empty() {
            break;
        }
        sleep(PAUSE);
        found = look();
    }
    found
}

/// Looks at the processes of a tree: who shares with another one, inside or outside of it.
pub(crate) fn processes(pids: &[u32], out: &mut Vec<Refusal>) {
    let mut outside = proc::numbers_in("/proc");
    outside.retain(|pid| !pids.contains(pid));
    among(pids, &outside, out);
}

/// Looks at the processes of a tree that stands still, and at the parent of the first one, its root: whoever waits in
/// vfork(2) for the root shares its memory.
pub(crate) fn held(pids: &[u32], out: &mut Vec<Refusal>) {
    let parent = pids.first().and_then(|root| Stat::of(*root).ok()).map(|stat| stat.ppid());
    among(pids, &parent.into_iter().filter(|parent| *parent != 0).collect::<Vec<_>>(), out);
}

fn among(pids: &[u32], outside: &[u32], out: &mut Vec<Refusal>) {
    let alive = |pid: &u32| Stat::of(*pid).is_ok_and(|stat| !stat.is_dead());
    let mut inside: Vec<u32> = pids.iter().copied().filter(alive).collect();
    for (kind, what) in KINDS {
        // A process that has just ended shares nothing.
        let compare =
            |a: &u32, b: &u32| kcmp_shared(*a as i32, *b as i32, kind).unwrap_or_else(|_| a.cmp(b));
        inside.sort_by(compare);
        let mut say = |pid, with| {
            let problem = format!("it shares it with process {with}");
            out.push(refusal(pid, what, &problem, "have it call execve(2) or unshare(2) first"));
        };
        for pair in inside.windows(2).filter(|pair| compare(&pair[0], &pair[1]) == Ordering::Equal)
        {
            say(pair[1], pair[0]);
        }
        for other in outside {
            if let Ok(at) = inside.binary_search_by(|pid| compare(pid, other)) {
                say(inside[at], *other);
            }
        }
    }
}

/// Looks at the threads of a process.
pub(crate) fn threads(pid: u32, out: &mut Vec<Refusal>) {
    let home = NAMESPACES.map(|name| (name, namespace(pid, name)));
    let others = proc::tids(pid).into_iter().filter(|&tid| tid != pid);
    for tid in others {
        let own = |kind| {
            kcmp_shared(pid as i32, tid as i32, kind).is_ok_and(|order| order != Ordering::Equal)
        };
        let kinds = [(Shared::Files, KINDS[1].1), (Shared::Fs, KINDS[2].1)];
        let kinds =
            kinds.into_iter().filter(|(kind, _)| own(*kind)).map(|(_, what)| what.to_owned());
        for what in kinds.chain(left(&home, tid)) {
            let problem = format!("thread {tid} has one of its own");
            out.push(refusal(pid, &what, &problem, ""));
        }
    }
}

/// The namespaces in which a thread is not at home, where its process is.
fn left(home: &[(&str, Option<u64>)], tid: u32) -> impl Iterator<Item = String> {
    // A namespace that has no init yet cannot be read; one that is just ending has none any more.
    let lives = move || Stat::of(tid).is_ok_and(|stat| !stat.is_dead());
    let differs = move |(name, own): &&(&str, _)| namespace(tid, name) != *own && lives();
    home.iter().filter(differs).map(|(name, _)| format!("{name} namespace"))
}
