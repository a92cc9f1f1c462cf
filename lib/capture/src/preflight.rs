//! Looks, before anything is stopped, for what cannot be captured, and reports all of it at once.

use crate::{
    Error, Result, family,
    files::SocketRules,
    fs, preflight_fds,
    proc::{self, Stat, Status},
    process::namespace,
    sharing, vmas,
};
use floe_records::{Pid, Refusal, Refusals};
use std::{collections::BTreeSet, fs::File, io::Read};

/// Namespaces that must be our own, and what to do otherwise; mount namespaces may differ.
const NAMESPACES: [&str; 8] =
    ["pid", "pid_for_children", "user", "time", "time_for_children", "net", "ipc", "uts"];

/// Checks the tree below `root`. Gives the pids that were looked at.
pub fn check(root: u32, rules: SocketRules) -> Result<Vec<u32>> {
    exists(root)?;
    let mut refusals = Vec::new();
    root_itself(root, &mut refusals)?;
    if !refusals.is_empty() {
        return Err(Refusals(refusals).into());
    }
    // Only who may trace it can see the rest.
    permitted(root)?;
    let pids = tree(root);
    for &pid in &pids {
        match one(pid, rules, &mut refusals) {
            // It may end while we look; the tree is read again when it stands still.
            Err(_) if pid != root && is_ending(pid) => {}
            other => other?,
        }
    }
    family::check(&pids, &mut refusals);
    refusals.extend(sharing::lasting(&pids));
    if refusals.is_empty() { Ok(pids) } else { Err(Refusals(refusals).into()) }
}

/// Whether a process that could not be looked at is dead, or is so in a moment: it loses one thing after the other.
fn is_ending(pid: u32) -> bool {
    (0..100).any(|_| {
        let dead = Stat::of(pid).map_or(true, |s| s.is_dead());
        if !dead {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        dead
    })
}

fn exists(pid: u32) -> Result<()> {
    if pid == 0 || std::fs::metadata(format!("/proc/{pid}")).is_err() {
        return Err(floe_sys::Error::because("freeze it", "no such process").pid(pid).into());
    }
    // /proc/TID exists for threads, too, though it is not listed.
    let tgid: u32 = Status::of(pid)?.get("Tgid").parse().unwrap_or(pid);
    if tgid != pid {
        let what = format!("it is a thread of process {tgid}");
        return Err(floe_sys::Error::because("freeze it", what).pid(pid).into());
    }
    Ok(())
}

/// All processes of a tree, parents first.
pub fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut seen = BTreeSet::from([root]);
    let mut at = 0;
    while at < all.len() {
        let pid = all[at];
        at += 1;
        for child in proc::tids(pid).into_iter().flat_map(|tid| proc::children(pid, tid)) {
            if seen.insert(child) {
                all.push(child);
            }
        }
    }
    all
}

pub(crate) fn refusal(pid: u32, object: &str, problem: &str, hint: &str) -> Refusal {
    Refusal {
        pid: Some(Pid(pid)),
        object: object.to_owned(),
        problem: problem.to_owned(),
        hint: hint.to_owned(),
    }
}

fn root_itself(pid: u32, out: &mut Vec<Refusal>) -> Result<()> {
    let stat = Stat::of(pid)?;
    if stat.is_kernel_thread() {
        out.push(refusal(pid, "the process", "it is a kernel thread", ""));
    }
    if stat.is_dead() {
        out.push(refusal(pid, "the process", "it is a zombie: it has ended already", ""));
    }
    let mut ancestor = std::process::id();
    while ancestor != 0 {
        if ancestor == pid {
            let hint = "start freeze from outside of the tree";
            out.push(refusal(pid, "the process", "freeze itself belongs to its tree", hint));
        }
        ancestor = Stat::of(ancestor).map_or(0, |s| s.ppid());
    }
    Ok(())
}

/// Whether we may trace it: opening its memory asks the same question of the kernel.
fn permitted(pid: u32) -> Result<()> {
    let opened = File::open(proc::path(pid, "mem"));
    opened.map(drop).map_err(|e| {
        let doing = "trace it, which needs CAP_SYS_PTRACE";
        Error::Sys(floe_sys::Error::new(doing, e).pid(pid))
    })
}

fn one(pid: u32, rules: SocketRules, out: &mut Vec<Refusal>) -> Result<()> {
    let status = Status::of(pid)?;
    if Stat::of(pid)?.is_dead() {
        if proc::tids(pid).len() > 1 {
            out.push(refusal(pid, "main thread", "it has ended before the other threads", ""));
        }
        return Ok(());
    }
    let tracer = status.get("TracerPid");
    if tracer != "0" {
        let object = format!("process {tracer}");
        out.push(refusal(pid, &object, "traces it already", "detach the debugger"));
    }
    if !matches!(status.get("Seccomp"), "0" | "") {
        out.push(refusal(pid, "seccomp", "filtered processes cannot be captured", ""));
    }
    for name in NAMESPACES {
        // A process that is just ending has none any more.
        let theirs = namespace(pid, name);
        if theirs.is_some() && theirs != namespace(std::process::id(), name) {
            let hint = "run freeze inside that namespace (nsenter)";
            let object = format!("{name} namespace");
            out.push(refusal(pid, &object, "it is not the one of freeze", hint));
        }
    }
    let mut ident = [0; 5];
    let exe = File::open(proc::path(pid, "exe")).and_then(|mut f| f.read_exact(&mut ident));
    if exe.is_ok() && ident == *b"\x7fELF\x01" {
        out.push(refusal(pid, "the program", "32-bit programs cannot be captured", ""));
    }
    threads(pid, out);
    sharing::threads(pid, out);
    let layout = vmas::layout(pid)?;
    out.extend(layout.refusals);
    if fs::link(pid, "cwd").is_ok_and(|cwd| fs::of_a_process(&cwd.path.0)) {
        out.push(refusal(pid, "working directory", "it is that of a process in /proc", ""));
    }
    if fs::link(pid, "root").is_ok_and(|root| root.deleted) {
        out.push(refusal(pid, "root", "it was removed", ""));
    }
    if let Ok(exe) = fs::link(pid, "exe")
        && exe.deleted
        && !layout
            .vmas
            .iter()
            .filter_map(|vma| vma.file.as_ref())
            .any(|file| file.deleted && (file.dev, file.ino) == (exe.dev, exe.ino))
    {
        out.push(refusal(pid, "the program", "its file was removed, and it is not mapped", ""));
    }
    preflight_fds::check(pid, rules, out)
}

fn threads(pid: u32, out: &mut Vec<Refusal>) {
    for tid in proc::tids(pid).into_iter().filter(|&tid| tid != pid) {
        // A thread that is just ending is gone a moment later; a leader's state is looked at elsewhere.
        let dead = || Stat::of(tid).is_ok_and(|s| s.state == 'Z');
        if dead() {
            std::thread::sleep(std::time::Duration::from_millis(1));
            if dead() {
                out.push(refusal(
                    pid,
                    &format!("thread {tid}"),
                    "it has ended and stays a zombie",
                    "",
                ));
            }
        }
    }
}

/// Checks again what may have changed until a process stood still.
pub(crate) fn again(pid: u32, rules: SocketRules, out: &mut Vec<Refusal>) -> Result<()> {
    preflight_fds::check(pid, rules, out)
}
