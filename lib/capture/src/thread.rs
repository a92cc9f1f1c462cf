//! A thread: registers and registrations.

use crate::{ask::ThreadAnswers, proc};
use floe_records::{Addr, Pid, Rseq, Thread, Tid};
use floe_sys::Result;
use floe_tracee::Tracee;

pub(crate) fn thread(pid: u32, tracee: &Tracee, answers: &ThreadAnswers) -> Result<Thread> {
    let tid = tracee.tid() as u32;
    let mut comm = proc::read(tid, "comm")?;
    comm.pop_if(|last| *last == b'\n');
    let (head, len) = floe_sys::robust_list(tid as i32)?;
    let rseq = tracee.rseq()?;
    Ok(Thread {
        pid: Pid(pid),
        tid: Tid(tid),
        comm: comm.into(),
        regs: tracee.regs()?.to_bytes().to_vec().into(),
        xstate: tracee.xstate()?.into(),
        robust_list: (Addr(head), len),
        clear_child_tid: Addr(answers.clear_child_tid),
        rseq: rseq.map(|r| Rseq { addr: Addr(r.addr), len: r.size, signature: r.signature }),
        pdeath_signal: answers.pdeath_signal,
    })
}
