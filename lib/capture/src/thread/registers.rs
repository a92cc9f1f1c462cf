//! A thread: registers, and what it has registered with the kernel.

use crate::{
    Result,
    process::settings::{prctl_out, words},
    resource::OfThread,
    subject,
};
use floe_parasite::{Batch, Replies, Slot};
use floe_records::{Addr, Pid, Rseq, Thread, Tid};

const PR_GET_TID_ADDRESS: i32 = 40;

impl OfThread for Thread {
    /// PR_GET_TID_ADDRESS, PR_GET_PDEATHSIG, PR_GET_NAME.
    type Asked = [Slot; 3];

    fn ask(_: &subject::Thread<'_>, batch: &mut Batch) -> Self::Asked {
        [PR_GET_TID_ADDRESS, libc::PR_GET_PDEATHSIG, libc::PR_GET_NAME]
            .map(|option| prctl_out(batch, option))
    }

    fn take(thread: &subject::Thread<'_>, asked: Self::Asked, replies: &Replies) -> Result<Self> {
        let (tid, tracee) = (thread.tid, thread.tracee()?);
        let (head, len) = floe_sys::robust_list(tid as i32)?;
        let rseq = tracee.rseq()?;
        let [clear_child_tid, pdeath_signal, _] = asked.map(|slot| words::<1>(replies, slot)[0]);
        let name = replies.bytes(asked[2]).split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Thread {
            pid: Pid(thread.pid),
            tid: Tid(tid),
            comm: name.into(),
            regs: tracee.regs()?.to_bytes().to_vec().into(),
            xstate: tracee.xstate()?.into(),
            robust_list: (Addr(head), len),
            clear_child_tid: Addr(clear_child_tid),
            rseq: rseq.map(|r| Rseq { addr: Addr(r.addr), len: r.size, signature: r.signature }),
            pdeath_signal: pdeath_signal as u32,
        })
    }
}
