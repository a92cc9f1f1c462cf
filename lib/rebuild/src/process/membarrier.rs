//! Registrations of membarrier(2), while there is only one thread: then they cost nothing.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Membarrier, Pid};
use floe_sys::Result;

impl ForProcess for Membarrier {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let bits = context.tree.get::<Membarrier>(pid).map_or(0, |found| found.registered);
        for command in (0..32).map(|bit| 1 << bit).filter(|command| bits & command != 0) {
            script.call(libc::SYS_membarrier, [Arg::Val(command.into()), 0.into(), 0.into()]);
        }
        Ok(())
    }
}
