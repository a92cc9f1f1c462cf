//! Scheduling of a thread.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Call, Replies};
use floe_records::{Pid, Sched, Tid};
use floe_sys::SchedAttr;

impl OfThread for Sched {
    /// PR_GET_TIMERSLACK.
    type Asked = Call;

    fn ask(_: &Thread<'_>, batch: &mut Batch) -> Call {
        batch.try_call(libc::SYS_prctl, [libc::PR_GET_TIMERSLACK.into()])
    }

    fn take(thread: &Thread<'_>, slack: Call, replies: &Replies) -> Result<Self> {
        let tid = thread.tid;
        let timerslack_ns = match replies.value(slack) {
            Ok(slack) => slack,
            // The largest ones look like the number of an error.
            Err(_) => floe_proc::timer_slack(tid)?,
        };
        Ok(Sched {
            pid: Pid(thread.pid),
            tid: Tid(tid),
            attr: bytes(&floe_sys::sched_attr(tid as i32)?).into(),
            affinity: floe_sys::affinity(tid as i32)?.into(),
            timerslack_ns,
        })
    }
}

/// `struct sched_attr` as the kernel lays it out.
fn bytes(a: &SchedAttr) -> Vec<u8> {
    let mut out = Vec::with_capacity(56);
    out.extend(a.size.to_ne_bytes());
    out.extend(a.policy.to_ne_bytes());
    out.extend(a.flags.to_ne_bytes());
    out.extend(a.nice.to_ne_bytes());
    out.extend(a.priority.to_ne_bytes());
    out.extend(a.runtime.to_ne_bytes());
    out.extend(a.deadline.to_ne_bytes());
    out.extend(a.period.to_ne_bytes());
    out.extend(a.util_min.to_ne_bytes());
    out.extend(a.util_max.to_ne_bytes());
    out
}
