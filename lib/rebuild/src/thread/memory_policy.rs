//! Memory policy of a thread.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::MemoryPolicy;
use floe_sys::Result;

impl ForThread for MemoryPolicy {
    fn apply(&self, context: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        if self.mode == 0 && context.stubs.inherited.memory_policy == 0 {
            return Ok(());
        }
        let mut mask = self.nodes.0.clone();
        mask.resize(Self::MASK, 0);
        let mask = script.bytes(&mask);
        // The kernel takes one bit less than it is told.
        let bits = 8 * Self::MASK + 1;
        script
            .call(libc::SYS_set_mempolicy, [Arg::Val(self.mode.into()), mask.into(), bits.into()]);
        Ok(())
    }
}
