//! States of processes and threads in which they cannot be captured.

use crate::{Result, subject};
use floe_proc::Stat;
use floe_records::{Finding, Findings, Pid};
use std::{collections::BTreeSet, thread::sleep, time::Duration};

/// Looks at the root of a tree, which must be a process that lives, and none of our own ancestors.
pub(crate) fn root(pid: u32, out: &mut Findings) -> Result<()> {
    let stat = Stat::of(pid)?;
    let mut refuse = |problem: &str, hint: &str| {
        out.refuse(Finding::of(Pid(pid), "the process", "process.state", problem).hint(hint));
    };
    if stat.is_kernel_thread() {
        refuse("it is a kernel thread", "");
    }
    if stat.is_dead() {
        refuse("it is a zombie: it has ended already", "");
    }
    let mut ancestor = std::process::id();
    while ancestor != 0 {
        if ancestor == pid {
            refuse("freeze itself belongs to its tree", "start freeze from outside of the tree");
        }
        ancestor = subject::stat(ancestor)?.map_or(0, |s| s.ppid);
    }
    Ok(())
}

/// Looks for a tracer that is not ourselves.
pub(crate) fn tracer(process: &subject::Process<'_>, out: &mut Findings) -> Result<()> {
    for thread in &process.tasks {
        let tracer = thread.status.tracer()?.filter(|tracer| *tracer != std::process::id());
        out.refused.extend(tracer.map(|tracer| traced(process.pid, tracer)));
    }
    Ok(())
}

/// The refusal of a task that another process traces.
pub(crate) fn traced(pid: u32, tracer: u32) -> Finding {
    let object = format!("process {tracer}");
    let finding = Finding::of(Pid(pid), object, "process.traced", "traces it already");
    finding.hint("wait for it, or detach the debugger")
}

/// Looks for a thread that waits for a child of vfork(2), which uses the memory of its process.
pub(crate) fn waits(process: &subject::Process<'_>, out: &mut Findings) -> Result<()> {
    for thread in &process.tasks {
        let waits = subject::stat(thread.tid)?.is_some_and(|stat| stat.state == b'D');
        out.refused.extend(waits.then(|| waiting_thread(thread.tid)));
    }
    Ok(())
}

/// The refusal of a thread that cannot be stopped.
pub(crate) fn waiting_thread(tid: u32) -> Finding {
    let problem = "it is in an uninterruptible wait (for a disk, or in vfork(2))";
    Finding::of(Pid(tid), "the thread", "thread.waits", problem).hint("try again")
}

/// Looks for threads that have ended and stay zombies. A thread that is just ending is gone a moment later.
pub(crate) fn dead_threads(process: &subject::Process<'_>, out: &mut Findings) -> Result<()> {
    let pid = process.pid;
    let mut living = BTreeSet::new();
    for thread in &process.tasks {
        if !thread.status.is_dead()? {
            living.insert(thread.tid);
        }
    }
    let dead =
        |tid| Ok::<_, floe_sys::Error>(subject::stat(tid)?.is_some_and(|stat| stat.state == b'Z'));
    for tid in subject::others(pid)? {
        if living.contains(&tid) || !dead(tid)? {
            continue;
        }
        sleep(Duration::from_millis(1));
        if dead(tid)? {
            let (object, problem) = (format!("thread {tid}"), "it has ended and stays a zombie");
            out.refuse(Finding::of(Pid(pid), object, "thread.zombie", problem));
        }
    }
    Ok(())
}

/// Looks at a process that has ended: no thread of it may be left.
pub(crate) fn dead_leader(pid: u32, out: &mut Findings) -> Result<()> {
    if !subject::others(pid)?.is_empty() {
        let problem = "it has ended before the other threads";
        out.refuse(Finding::of(Pid(pid), "main thread", "process.leader", problem));
    }
    Ok(())
}
