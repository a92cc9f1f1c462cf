//! I/O priority of a thread.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::IoPriority;
use floe_sys::Result;

/// IOPRIO_WHO_PROCESS: a single thread.
const WHO: u64 = 1;

impl ForThread for IoPriority {
    fn apply(&self, context: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        if self.value != context.stubs.inherited.io_priority {
            let args = [Arg::Val(WHO), Arg::Val(0), Arg::Val(self.value.into())];
            script.call(libc::SYS_ioprio_set, args);
        }
        Ok(())
    }
}
