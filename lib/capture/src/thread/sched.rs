//! Scheduling of a thread.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Replies};
use floe_records::{Pid, Sched, Tid};
use floe_sys::SchedAttr;

impl OfThread for Sched {
    type Asked = ();

    fn ask(_: &Thread<'_>, _: &mut Batch) {}

    fn take(thread: &Thread<'_>, (): (), _: &Replies) -> Result<Self> {
        let tid = thread.tid;
        Ok(Sched {
            pid: Pid(thread.pid),
            tid: Tid(tid),
            attr: bytes(&floe_sys::sched_attr(tid as i32)?).into(),
            affinity: floe_sys::affinity(tid as i32)?.into(),
            timerslack_ns: floe_proc::timer_slack(tid)?,
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
