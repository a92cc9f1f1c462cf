//! Sessions and process groups that could not be made again (setsid(2), setpgid(2)).

use crate::{Result, subject::stat};
use floe_proc::Stat;
use floe_records::{Finding, Findings, Pid};
use std::collections::BTreeMap;

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
    Ok(())
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
