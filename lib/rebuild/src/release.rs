//! The end of a restore: registers back, the stubs gone, and all threads let go.

use crate::stubs::Stubs;
use floe_records::*;
use floe_sys::{Error, Guardian, Result};
use floe_tracee::{Regs, RemoteCall, find_syscall_insn_outside};
use nix::sys::signal::{Signal, kill};
use std::collections::BTreeSet;

const PROT_EXEC: u8 = libc::PROT_EXEC as u8;

/// Signal masks of all threads.
pub(crate) fn masks(tree: &Tree, stubs: &Stubs) -> Result<()> {
    for s in tree.all::<ThreadSignals>() {
        if let Some(tracee) = stubs.tasks.get(&(s.tid.0 as i32)) {
            tracee.set_sigmask(s.mask)?;
        }
    }
    Ok(())
}

/// Has a process stop as soon as it runs.
pub(crate) fn stop(tree: &Tree, watched: &BTreeSet<Pid>, pid: Pid) -> Result<()> {
    let Some((process, State::Stopped(signal))) = tree.get::<Process>(pid).map(|p| (p, p.state))
    else {
        return Ok(());
    };
    let target = nix::unistd::Pid::from_raw(pid.0 as i32);
    kill(target, stop_signal(tree, watched, process, signal))
        .map_err(|e| Error::new("stop it", e).pid(pid.0))
}

/// From the first to the last one that is let go, a guardian takes the place of our tracing.
pub(crate) fn guardian(tree: &Tree) -> Result<Guardian> {
    let pids: Vec<i32> = tree.all::<Process>().iter().map(|p| p.pid.0 as i32).collect();
    Guardian::over(&pids)
}

/// Lets everything run.
pub(crate) fn release(stubs: &mut Stubs) -> Result<()> {
    for (_, tracee) in std::mem::take(&mut stubs.tasks) {
        match tracee.detach() {
            // Who runs already may have ended others.
            Err(e) if e.cause().raw_os_error() == Some(libc::ESRCH) => {}
            done => done?,
        }
    }
    Ok(())
}

/// Registers back, and the last system call unmaps the hole from outside of it. `affinity` is that of restore, for threads
/// that have none of their own.
pub(crate) fn leave(tree: &Tree, stubs: &Stubs, affinity: Option<&[u8]>, pid: Pid) -> Result<()> {
    for t in tree.threads(pid) {
        let tid = t.tid.0 as i32;
        let bad = || Error::because("set its registers", "the record is damaged").pid(t.tid.0);
        let bytes: &[u8; 216] = t.regs.0.as_slice().try_into().map_err(|_| bad())?;
        let mut regs = Regs::from_bytes(bytes);
        // The kernel's restart block is gone: begin the call again.
        if regs.rax() as i64 == -516 && (regs.orig_rax() as i64) >= 0 {
            regs.set_rax(-513i64 as u64);
        }
        if let (None, Some(affinity)) = (tree.get::<Sched>(t.tid), affinity) {
            floe_sys::set_affinity(tid, affinity)?;
        }
        let tracee = stubs.tracee(tid)?;
        tracee.set_xstate(&t.xstate.0)?;
        if t.tid.0 == pid.0 {
            let hole = [stubs.hole, floe_plan::HOLE, 0, 0, 0, 0];
            let remote = RemoteCall::begin(tid, foreign_insn(tree, stubs, pid)?)?;
            let done = remote.finish_after(libc::SYS_munmap, hole, &regs)?;
            if done != 0 {
                let cause = std::io::Error::from_raw_os_error(-done as i32);
                return Err(Error::new("unmap the hole", cause).pid(pid.0));
            }
        } else {
            // It stands at its breakpoint or at its first stop: from both, the kernel looks at the restart code.
            tracee.set_regs(&regs)?;
        }
    }
    Ok(())
}

/// A `syscall` instruction of the process's own memory: in its vdso, which is that of restore, or else anywhere.
fn foreign_insn(tree: &Tree, stubs: &Stubs, pid: Pid) -> Result<u64> {
    let vdso = tree.vmas(pid).find(|vma| vma.kind == VmaKind::Vdso && vma.prot & PROT_EXEC != 0);
    if let (Some(vdso), Some(offset)) = (vdso, stubs.insn_in_vdso) {
        return Ok(vdso.start.0 + offset);
    }
    find_syscall_insn_outside(pid.0 as i32, &(stubs.hole..stubs.hole + floe_plan::HOLE))
}

/// Process groups that somebody of their session could set going again: in others, the kernel ignores stop signals of the
/// terminal.
pub(crate) fn watched_groups(tree: &Tree) -> BTreeSet<Pid> {
    let watched = |member: &&Process| {
        let parent = tree.get::<Process>(member.ppid);
        parent.is_some_and(|parent| parent.sid == member.sid && parent.pgid != member.pgid)
    };
    tree.all::<Process>().iter().filter(watched).map(|member| member.pgid).collect()
}

/// The signal that a process is stopped by again: the one that had stopped it, where that is sure to stop it. SIGSTOP always
/// does.
fn stop_signal(tree: &Tree, watched: &BTreeSet<Pid>, process: &Process, signal: u32) -> Signal {
    let by_key = Signal::try_from(signal as i32).unwrap_or(Signal::SIGSTOP);
    if ![Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU].contains(&by_key) {
        return Signal::SIGSTOP;
    }
    let acts = |action: &SigAction| action.signal == signal && action.handler != Addr(0);
    let handled =
        tree.get::<ProcessSignals>(process.pid).is_none_or(|s| s.actions.iter().any(acts));
    let open = |thread: &Thread| {
        tree.get::<ThreadSignals>(thread.tid).is_some_and(|s| s.mask >> (signal - 1) & 1 == 0)
    };
    let stops = !handled && tree.threads(process.pid).any(open) && watched.contains(&process.pgid);
    if stops { by_key } else { Signal::SIGSTOP }
}

/// Has a stub end as its process did, as soon as it runs.
pub(crate) fn die(tree: &Tree, stubs: &Stubs, pid: Pid) -> Result<()> {
    let Some(State::Zombie(status)) = tree.get::<Process>(pid).map(|p| p.state) else {
        return Ok(());
    };
    let Some(tracee) = stubs.tasks.get(&(pid.0 as i32)) else { return Ok(()) };
    let mut regs = tracee.regs()?;
    regs.set_rip(stubs.hole).set_orig_rax(u64::MAX).set_rax(libc::SYS_exit_group as u64);
    regs.set_rdi(u64::from(status >> 8 & 0xff));
    if status & 0x7f != 0 {
        regs.set_rax(libc::SYS_kill as u64)
            .set_rdi(u64::from(pid.0))
            .set_rsi(u64::from(status & 0x7f));
        tracee.set_sigmask(0)?;
    }
    tracee.set_regs(&regs)
}
