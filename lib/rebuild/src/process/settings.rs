//! Single settings of a process.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Pid, Settings};
use floe_sys::{Error, Result};

const PR_SET_THP_DISABLE: i32 = 41;

impl ForProcess for Settings {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(s) = context.tree.get::<Settings>(pid) else { return Ok(()) };
        let number = |n: u64| Arg::Val(n);
        if phase == Phase::Dumpable {
            // 2 cannot be set: it is what the kernel makes of a program that was changed by its execution.
            if s.dumpable != 2 {
                let value = number(u64::from(s.dumpable));
                script.call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), value]);
            }
            return Ok(());
        }
        script.call(libc::SYS_personality, [number(u64::from(s.personality))]);
        let subreaper = number(u64::from(s.child_subreaper));
        script.call(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER.into(), subreaper]);
        let thp = number(u64::from(s.thp_disabled));
        let zero = number(0);
        script.call(libc::SYS_prctl, [PR_SET_THP_DISABLE.into(), thp, zero, zero, zero]);
        if s.oom_score_adj == context.stubs.inherited.oom_score_adj {
            return Ok(());
        }
        let path = floe_proc::path(pid.0, "oom_score_adj");
        std::fs::write(&path, s.oom_score_adj.to_string())
            .map_err(|e| Error::new(format!("write {}", path.display()), e).pid(pid.0))
    }
}
