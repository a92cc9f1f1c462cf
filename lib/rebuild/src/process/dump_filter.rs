//! The filter of core dumps.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_plan::Phase;
use floe_records::{DumpFilter, Pid};
use floe_sys::{Error, Result};

impl ForProcess for DumpFilter {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, _: &mut Script<'_>) -> Result<()> {
        let Some(filter) = context.tree.get::<DumpFilter>(pid) else { return Ok(()) };
        let Some(bits) = filter.bits.filter(|_| filter.bits != context.stubs.inherited.dump_filter)
        else {
            return Ok(());
        };
        let path = floe_proc::path(pid.0, "coredump_filter");
        std::fs::write(&path, format!("{bits:#x}"))
            .map_err(|e| Error::new(format!("write {}", path.display()), e).pid(pid.0))
    }
}
