//! Signal mask, queue and alternate stack of a thread.

use crate::{
    Result,
    process::{process_signals::queue, settings::words},
    resource::OfThread,
    subject::Thread,
};
use floe_parasite::{Batch, Replies, Slot};
use floe_records::{Addr, Pid, ThreadSignals, Tid};

impl OfThread for ThreadSignals {
    type Asked = Slot;

    fn ask(_: &Thread<'_>, batch: &mut Batch) -> Slot {
        let stack = batch.zeroed(24);
        batch.call(libc::SYS_sigaltstack, [0.into(), stack.into()]);
        stack
    }

    fn take(thread: &Thread<'_>, stack: Slot, replies: &Replies) -> Result<Self> {
        let [sp, flags, size] = words(replies, stack);
        // SS_ONSTACK only tells where the stack pointer is right now.
        let flags = flags as u32 & !(libc::SS_ONSTACK as u32);
        let tracee = thread.tracee()?;
        Ok(ThreadSignals {
            pid: Pid(thread.pid),
            tid: Tid(thread.tid),
            mask: tracee.sigmask()?,
            altstack: (Addr(sp), flags, size),
            queued: queue(tracee, false)?,
        })
    }
}
