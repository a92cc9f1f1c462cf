//! Sessions and process groups that could not be made again (setsid(2), setpgid(2)).

use crate::{Result, subject::stat};
use floe_proc::Stat;
use floe_records::{Finding, Findings, Pid};
use nix::unistd::{getpgid, getsid};
use std::collections::{BTreeMap, BTreeSet};

/// Ids of a process: session, process group, parent.
struct Ids {
    sid: u32,
    pgid: u32,
    ppid: u32,
}

/// Looks at the tree of these processes; the first is the root. Its own session and group may be those of a shell
/// outside: it gets those of restore.
pub(crate) fn check(pids: &[u32], stats: &BTreeMap<u32, Stat>, out: &mut Findings) -> Result<()> {
    let ids = |stat: &Stat| Ids { pgid: stat.pgrp, sid: stat.session, ppid: stat.ppid };
    let all: BTreeMap<u32, Ids> = stats.iter().map(|(pid, stat)| (*pid, ids(stat))).collect();
    let Some(root) = pids.first().and_then(|root| all.get(root)) else { return Ok(()) };
    for (pid, own) in &all {
        let Some(parent) = all.get(&own.ppid).filter(|_| *pid != pids[0]) else { continue };
        if own.sid != *pid && !was_in(&all, parent, own.ppid, own.sid) {
            let problem = "its parent has never been in it, and it cannot be made again";
            let object = format!("session {}", own.sid);
            out.refuse(Finding::of(Pid(*pid), object, "tree.session", problem));
        }
        let outside = !all.contains_key(&own.pgid) && own.pgid != root.pgid;
        if outside && stat(own.pgid)?.is_some() {
            let problem = "its leader is not in the tree";
            let object = format!("process group {}", own.pgid);
            out.refuse(Finding::of(Pid(*pid), object, "tree.group", problem));
        }
    }
    let named: BTreeMap<u32, u32> = all
        .iter()
        .flat_map(|(pid, own)| [(own.pgid, *pid), (own.sid, *pid), (*pid, *pid)])
        .collect();
    members(&named, &[root.pgid, root.sid], pids, out)
}

/// Looks for members outside of the tree: as long as one lives no process can get the number of its session or group
/// (`set_tid` of clone3(2)). `named` are these numbers, each with a process of the tree that needs it. Those of the root may be
/// those of a shell outside, whose place restore takes.
fn members(
    named: &BTreeMap<u32, u32>,
    of_root: &[u32],
    pids: &[u32],
    out: &mut Findings,
) -> Result<()> {
    let inside: BTreeSet<u32> = pids.iter().copied().collect();
    let needed = |id: &u32| inside.contains(id) || !of_root.contains(id);
    let mut told = BTreeSet::new();
    for pid in floe_proc::numbers_in("/proc")? {
        if inside.contains(&pid) {
            continue;
        }
        let number = nix::unistd::Pid::from_raw(pid as i32);
        let ids = [("session", getsid(Some(number))), ("process group", getpgid(Some(number)))];
        // One that has just ended is in none.
        let ids = ids.map(|(what, id)| (what, id.map_or(0, |id| id.as_raw() as u32)));
        // A leader outside is told of beside its members in the tree; 0 is one of another pid namespace.
        for (what, id) in ids.into_iter().filter(|(_, id)| ![0, pid].contains(id) && needed(id)) {
            let by = named.get(&id).filter(|_| !told.contains(&(what, id)));
            // One that has just been born belongs to the tree as well.
            if let Some(by) = by
                && !is_below(pid, &inside)?
            {
                told.insert((what, id));
                let problem = format!("process {pid} is in it, and not in the tree");
                let hint = "end that one first, or freeze a process above both";
                let object = format!("{what} {id}");
                out.refuse(Finding::of(Pid(*by), object, "tree.member", problem).hint(hint));
            }
        }
    }
    Ok(())
}

/// Whether a process comes from one of these.
fn is_below(mut pid: u32, all: &BTreeSet<u32>) -> Result<bool> {
    // A parent that has ended meanwhile has left its children to others.
    while let Some(parent) = stat(pid)?.map(|stat| stat.ppid).filter(|parent| *parent != 0) {
        if all.contains(&parent) {
            return Ok(true);
        }
        pid = parent;
    }
    Ok(false)
}

/// Whether a process is in this session, or was before it made its own.
fn was_in<'a>(all: &'a BTreeMap<u32, Ids>, mut process: &'a Ids, mut pid: u32, sid: u32) -> bool {
    while process.sid != sid {
        let parent = all.get(&process.ppid).filter(|_| process.sid == pid);
        let Some(parent) = parent else { return false };
        (pid, process) = (process.ppid, parent);
    }
    true
}
