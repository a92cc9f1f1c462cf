//! Scheduling of a thread.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::Sched;
use floe_sys::Result;

impl ForThread for Sched {
    fn apply(&self, _: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let (mask, len) = (script.bytes(&self.affinity.0), self.affinity.0.len());
        script.call(libc::SYS_sched_setaffinity, [Arg::Val(0), len.into(), mask.into()]);
        let attr = script.bytes(&self.attr.0);
        script.call(libc::SYS_sched_setattr, [Arg::Val(0), attr.into(), Arg::Val(0)]);
        let slack = Arg::Val(self.timerslack_ns);
        script.call(libc::SYS_prctl, [libc::PR_SET_TIMERSLACK.into(), slack]);
        Ok(())
    }
}
