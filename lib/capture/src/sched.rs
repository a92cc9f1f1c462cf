//! Scheduling of a thread.

use crate::proc;
use floe_records::{Pid, Sched, Tid};
use floe_sys::{Result, SchedAttr};

pub(crate) fn sched(pid: u32, tid: u32) -> Result<Sched> {
    let attr = floe_sys::sched_attr(tid as i32)?;
    Ok(Sched {
        pid: Pid(pid),
        tid: Tid(tid),
        attr: bytes(&attr).into(),
        affinity: floe_sys::affinity(tid as i32)?.into(),
        timerslack_ns: proc::number(tid, "timerslack_ns", None)?,
    })
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
