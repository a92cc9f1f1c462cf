//! The end of a restore: registers back, the stubs gone, and all threads let go.

use crate::stubs::Stubs;
use floe_records::*;
use floe_sys::{Error, Guardian, Result};
use floe_tracee::{Regs, RemoteCall, find_syscall_insn};

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
pub(crate) fn stop(pid: Pid) -> Result<()> {
    let target = nix::unistd::Pid::from_raw(pid.0 as i32);
    nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGSTOP)
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

/// Registers back, and the last system call unmaps the hole from outside of it.
pub(crate) fn leave(tree: &Tree, stubs: &Stubs, pid: Pid) -> Result<()> {
    let insn = foreign_insn(stubs, pid)?;
    for t in tree.threads(pid) {
        let tid = t.tid.0 as i32;
        let bad = || Error::because("set its registers", "the record is damaged").pid(t.tid.0);
        let bytes: &[u8; 216] = t.regs.0.as_slice().try_into().map_err(|_| bad())?;
        let mut regs = Regs::from_bytes(bytes);
        // The kernel's restart block is gone: begin the call again.
        if regs.rax() as i64 == -516 && (regs.orig_rax() as i64) >= 0 {
            regs.set_rax(-513i64 as u64);
        }
        stubs.tracee(tid)?.set_xstate(&t.xstate.0)?;
        let mut remote = RemoteCall::begin(tid, insn)?;
        if t.tid.0 == pid.0 {
            remote.call(
                libc::SYS_munmap,
                [stubs.hole, floe_plan::HOLE, 0, 0, 0, 0],
                &mut |_| Ok(()),
            )?;
        }
        remote.finish_with(&regs)?;
    }
    Ok(())
}

/// A `syscall` instruction of the process's own memory.
fn foreign_insn(stubs: &Stubs, pid: Pid) -> Result<u64> {
    let insn = find_syscall_insn(pid.0 as i32)?;
    if (stubs.hole..stubs.hole + floe_plan::HOLE).contains(&insn) {
        return Err(Error::because("leave it", "it has no vdso with a system call").pid(pid.0));
    }
    Ok(insn)
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
