//! Signal actions and the queue of a process.

use crate::{Result, process::settings::words, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies, Slot};
use floe_records::{Addr, Bytes, Pid, ProcessSignals, SigAction};
use floe_tracee::Tracee;

impl OfProcess for ProcessSignals {
    /// By signal: `struct sigaction` of the kernel (handler, flags, restorer, mask).
    type Asked = Vec<(u32, Slot)>;

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Self::Asked> {
        let set = (1..=64).filter(|&s| s != libc::SIGKILL as u32 && s != libc::SIGSTOP as u32);
        let mut action = |signal: u32| {
            let slot = batch.zeroed(32);
            let args = [u64::from(signal).into(), 0.into(), slot.into(), 8.into()];
            batch.call(libc::SYS_rt_sigaction, args);
            (signal, slot)
        };
        Ok(set.map(&mut action).collect())
    }

    fn take(process: &Process<'_>, asked: Self::Asked, replies: &Replies) -> Result<Vec<Self>> {
        let action = |(signal, slot): (u32, Slot)| {
            let [handler, flags, restorer, mask] = words(replies, slot);
            let (handler, restorer) = (Addr(handler), Addr(restorer));
            let set = [handler.0, flags, restorer.0, mask] != [0; 4];
            set.then_some(SigAction { signal, handler, flags, restorer, mask })
        };
        Ok(vec![ProcessSignals {
            pid: Pid(process.pid),
            actions: asked.into_iter().filter_map(action).collect(),
            queued: queue(process.leader()?, true)?,
        }])
    }
}

/// Signals that are queued for the process (`shared`) or for the thread alone.
pub(crate) fn queue(tracee: &Tracee, shared: bool) -> Result<Vec<Bytes>> {
    Ok(tracee.queued(shared)?.iter().map(|info| Bytes::from(&info[..])).collect())
}
