//! Resource limits (getrlimit(2)): those of the tree, and what restore itself needs.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::*;
use floe_sys::Result;

/// Restore holds every file of the tree beside its own: as many as it may, with CAP_SYS_RESOURCE as many as the kernel lets
/// anybody have.
pub fn allow_many_files() -> Result<()> {
    let (soft, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open");
    let most = most.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(hard);
    if most > hard && floe_sys::set_limit(0, libc::RLIMIT_NOFILE, most, most).is_ok() {
        return Ok(());
    }
    if soft < hard { floe_sys::set_limit(0, libc::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}

impl ForProcess for Limits {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        let limits = context.tree.get::<Limits>(pid).map_or(&[][..], |l| &l.limits);
        let inherited = &context.stubs.inherited.limits;
        for (resource, &(soft, hard)) in limits.iter().enumerate() {
            // Signals that wait may exceed it: it is lowered when they are there.
            let late = resource == libc::RLIMIT_SIGPENDING as usize;
            let same = inherited.get(resource) == Some(&(soft, hard));
            if late == (phase == Phase::Last) && !same {
                let limit = script.words(&[soft, hard]);
                let args = [Arg::Val(0), resource.into(), limit.into(), Arg::Val(0)];
                script.call(libc::SYS_prlimit64, args);
            }
        }
        Ok(())
    }
}
