//! Alternate stack and queue of a thread. Its mask comes back when it is let go.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::ThreadSignals;
use floe_sys::Result;

impl ForThread for ThreadSignals {
    fn apply(&self, context: Context<'_>, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        if phase == Phase::Register {
            // Set even without one, since a stub begins with that of restore. SS_ONSTACK cannot be set.
            let (addr, flags, size) = self.altstack;
            let stack = script.words(&[addr.0, u64::from(flags & !1), size]);
            script.call(libc::SYS_sigaltstack, [stack.into(), Arg::Val(0)]);
            return Ok(());
        }
        if self.queued.is_empty() {
            return Ok(());
        }
        script.block_signals()?;
        let called = |id| script.called(context.tree, id).map(Arg::Val);
        let ids = [called(self.pid.0)?, called(self.tid.0)?];
        for info in &self.queued {
            let (slot, signal) = (script.bytes(&info.0), info.0.first().copied().unwrap_or(0));
            let args = [ids[0], ids[1], Arg::Val(u64::from(signal)), slot.into()];
            script.call(libc::SYS_rt_tgsigqueueinfo, args);
            script.breathe()?;
        }
        Ok(())
    }
}
