//! The end of a restore: registers back, the stubs gone, and all threads let go.

use crate::{open::OpenFiles, stubs::Stubs};
use floe_records::*;
use floe_sys::{Error, Guardian, Result};
use floe_tracee::{OPTIONS, Regs, RemoteCall, find_syscall_insn_outside};

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

/// From the first to the last one that is let go, a guardian takes the place of our tracing.
pub(crate) fn guardian(tree: &Tree, files: &OpenFiles<'_>) -> Result<Guardian> {
    let pids: Vec<i32> = tree.all::<Process>().iter().map(|p| p.pid.0 as i32).collect();
    files.guard(&pids)
}

/// From now on everything lives when we die: what is traced is let go by the kernel, and the guardian does the rest.
pub(crate) fn turn(stubs: &Stubs, guardian: Option<&Guardian>) -> Result<()> {
    for tracee in stubs.tasks.values() {
        match tracee.set_options(OPTIONS) {
            Err(e) if e.cause().raw_os_error() == Some(libc::ESRCH) => {}
            done => done?,
        }
    }
    guardian.map_or(Ok(()), Guardian::turn)
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
        // The kernel's restart block is gone.
        regs.begin_call_again();
        if let (None, Some(affinity)) = (tree.get::<Sched>(t.tid), affinity) {
            floe_sys::set_affinity(tid, affinity)?;
        }
        let tracee = stubs.tracee(tid)?;
        tracee.set_xstate(&t.xstate.0)?;
        // Those that have the memory from it have left the hole before.
        if t.tid.0 == pid.0 && tree.owner(pid, Share::Memory) == pid {
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
        let foreign = stubs.foreign_vdso(tree, pid).is_some();
        let parked = stubs.parked.iter().find(|parked| foreign && parked.0 == "vdso");
        let start = parked.map_or(vdso.start.0, |parked| stubs.place_behind(parked.1));
        return Ok(start + offset);
    }
    find_syscall_insn_outside(pid.0 as i32, &(stubs.hole..stubs.hole + floe_plan::HOLE))
}
