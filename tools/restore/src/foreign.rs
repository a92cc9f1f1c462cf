//! Conflicts of a tree with this system.

use crate::pidns;
use floe_records::{Finding, Mm, Pid, Process, Refusals, Thread, Tree, Vdso};
use nix::unistd::{getpgid, getsid};
use std::collections::{BTreeMap, BTreeSet};

/// Conflicts with this system: another vdso, pids that are taken. `beside`: pid 1 is a stub that waits for the tree.
pub fn conflicts(tree: &Tree, beside: bool) -> anyhow::Result<()> {
    let mut no = Vec::new();
    let own = floe_rebuild::own_vdso_hash()?;
    for mm in tree.all::<Mm>() {
        if mm.vdso_hash == 0 || mm.vdso_hash == own {
            continue;
        }
        if own == 0 || !tree.all::<Vdso>().iter().any(|vdso| vdso.hash == mm.vdso_hash) {
            let problem = "is not that of this kernel, and the image does not have it";
            no.push(Finding::of(mm.pid, "vdso", "rebuild.vdso", problem));
        } else if let Some(thread) = floe_rebuild::thread_in_vdso(tree) {
            let object = format!("vdso of thread {}", thread.tid);
            let problem = "is not that of this kernel, and the thread stands in it";
            let finding = Finding::of(thread.pid, object, "rebuild.vdso", problem);
            no.push(finding.hint("take another checkpoint"));
            break;
        }
    }
    let tids = tree.all::<Thread>().iter().map(|t| t.tid.0);
    let tids = tids.chain(tree.all::<Process>().iter().map(|p| p.pid.0));
    let leaders = tree.lost_leaders().into_iter().map(|(group, _)| group.0);
    let own = |tid: &u32| beside && *tid == pidns::INIT;
    let members = members()?;
    for tid in tids.chain(leaders).filter(|tid| !own(tid)).collect::<BTreeSet<_>>() {
        if let Some(problem) = taken(tid, &members)? {
            let finding = Finding::of(Pid(tid), "process id", "rebuild.pid", problem);
            no.push(finding.hint("--new-pidns restores where every id is free"));
        }
    }
    no.extend(floe_rebuild::beyond_rights(tree)?);
    if no.is_empty() { Ok(()) } else { Err(Refusals(no).into()) }
}

/// A process of each session and process group that there is.
fn members() -> anyhow::Result<BTreeMap<u32, (&'static str, u32)>> {
    let mut all = BTreeMap::new();
    for pid in floe_proc::numbers_in("/proc")? {
        let number = Some(nix::unistd::Pid::from_raw(pid as i32));
        let ids = [("session", getsid(number)), ("process group", getpgid(number))];
        // One that has just ended is in none.
        all.extend(
            ids.into_iter().filter_map(|(of, id)| Some((id.ok()?.as_raw() as u32, (of, pid)))),
        );
    }
    Ok(all)
}

/// By whom an id is taken: a session or process group keeps that of its leader as long as it has members.
fn taken(id: u32, members: &BTreeMap<u32, (&'static str, u32)>) -> anyhow::Result<Option<String>> {
    match floe_proc::comm(id) {
        Ok(comm) => return Ok(Some(format!("is taken by {}", String::from_utf8_lossy(&comm)))),
        Err(e) if e.is_gone() => {}
        Err(e) => return Err(e.into()),
    }
    let member = members.get(&id);
    Ok(member.map(|(of, pid)| format!("is that of a {of} which process {pid} is still in")))
}
