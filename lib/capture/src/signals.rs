//! Signals of a process and of its threads.

use crate::ask::{ProcessAnswers, ThreadAnswers};
use floe_records::{Addr, Bytes, Pid, ProcessSignals, SigAction, ThreadSignals, Tid};
use floe_sys::Result;
use floe_tracee::Tracee;

fn queue(tracee: &Tracee, shared: bool) -> Result<Vec<Bytes>> {
    Ok(tracee.queued(shared)?.iter().map(|info| Bytes::from(&info[..])).collect())
}

pub(crate) fn process(
    pid: u32,
    leader: &Tracee,
    answers: &ProcessAnswers,
) -> Result<ProcessSignals> {
    let action = |&(signal, [handler, flags, restorer, mask]): &(u32, [u64; 4])| SigAction {
        signal,
        handler: Addr(handler),
        flags,
        restorer: Addr(restorer),
        mask,
    };
    let changed = answers.actions.iter().filter(|(_, words)| *words != [0; 4]);
    Ok(ProcessSignals {
        pid: Pid(pid),
        actions: changed.map(action).collect(),
        queued: queue(leader, true)?,
    })
}

pub(crate) fn thread(pid: u32, tracee: &Tracee, answers: &ThreadAnswers) -> Result<ThreadSignals> {
    let (addr, flags, size) = answers.altstack;
    Ok(ThreadSignals {
        pid: Pid(pid),
        tid: Tid(tracee.tid() as u32),
        mask: tracee.sigmask()?,
        altstack: (Addr(addr), flags, size),
        queued: queue(tracee, false)?,
    })
}
