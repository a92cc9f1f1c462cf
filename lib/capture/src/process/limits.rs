//! Limits from /proc/PID/limits.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Limits, Pid};

impl OfProcess for Limits {
    type Asked = ();

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let limits = floe_proc::limits(process.pid)?.to_vec();
        Ok(vec![Limits { pid: Pid(process.pid), limits }])
    }
}
