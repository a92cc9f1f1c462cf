//! The nice value of a session. The one that the root of a tree came with is that of somebody outside.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Autogroup, Pid};

impl OfProcess for Autogroup {
    type Asked = ();

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let leads = process.stat.session == process.pid;
        let nice = if leads { floe_proc::autogroup_nice(process.pid)? } else { None };
        Ok(vec![Autogroup { pid: Pid(process.pid), nice }])
    }
}
