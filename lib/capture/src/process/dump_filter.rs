//! The filter of core dumps.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{DumpFilter, Pid};

impl OfProcess for DumpFilter {
    type Asked = ();

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let bits = floe_proc::core_dump_filter(process.pid)?;
        Ok(vec![DumpFilter { pid: Pid(process.pid), bits }])
    }
}
