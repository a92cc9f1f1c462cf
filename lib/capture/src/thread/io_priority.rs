//! I/O priority of a thread.

use crate::{Result, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Replies};
use floe_records::{IoPriority, Pid, Tid};

impl OfThread for IoPriority {
    type Asked = ();

    fn ask(_: &Thread<'_>, _: &mut Batch) {}

    fn take(thread: &Thread<'_>, (): (), _: &Replies) -> Result<Self> {
        let value = floe_sys::io_priority(thread.tid as i32)?;
        Ok(IoPriority { pid: Pid(thread.pid), tid: Tid(thread.tid), value })
    }
}
