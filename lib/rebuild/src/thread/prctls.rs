//! Settings of prctl(2). All mappings have their protections by now.

use crate::{
    resource::{Context, ForThread},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{PRCTLS, PrctlCall, PrctlRow, Prctls};
use floe_sys::Result;

/// What restore has itself, and so every stub; `None` for what it is not told.
pub(crate) fn own() -> Vec<Option<u32>> {
    let answer = |row: &PrctlRow| match row.call {
        PrctlCall::Result => floe_sys::prctl_result(row.option, row.which),
        PrctlCall::Memory => floe_sys::prctl_word(row.option).map(u64::from),
        PrctlCall::Arch => floe_sys::arch_prctl_result(row.option, row.which),
    };
    PRCTLS.iter().map(|row| answer(row).ok().and_then(|answer| row.value(answer))).collect()
}

impl ForThread for Prctls {
    fn apply(&self, context: Context<'_>, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let own = &context.stubs.inherited.prctls;
        let rows = PRCTLS.iter().zip(own).filter(|(row, _)| row.concerns(self.pid, self.tid));
        for (row, own) in rows {
            let value = self.value(row);
            if value == own.unwrap_or(row.usual) {
                continue;
            }
            let mut args = [Arg::Val(0); 5];
            for (arg, given) in args.iter_mut().zip(row.set.iter().chain([&value])) {
                *arg = Arg::Val((*given).into());
            }
            let is_arch = row.call == PrctlCall::Arch;
            script.call(if is_arch { libc::SYS_arch_prctl } else { libc::SYS_prctl }, args);
        }
        Ok(())
    }
}
