//! Namespaces: processes are made in them. A pid namespace that awaits its init is made here: who has one can start no threads, and its
//! children are not those of the plan.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Namespaces, Pid};
use floe_sys::Result;

impl ForProcess for Namespaces {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        if context.tree.get::<Namespaces>(pid).is_some_and(Namespaces::awaits_init) {
            script.call(libc::SYS_unshare, [Arg::Val(libc::CLONE_NEWPID as u64)]);
        }
        Ok(())
    }
}
