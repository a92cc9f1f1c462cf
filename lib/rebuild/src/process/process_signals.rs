//! Signal actions, and the queue of a process.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Addr, Pid, ProcessSignals, SigAction};
use floe_sys::Result;

/// SIG_IGN.
const IGNORED: Addr = Addr(1);

impl ForProcess for ProcessSignals {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(signals) = context.tree.get::<ProcessSignals>(pid) else { return Ok(()) };
        // A breakpoint would reset SIGTRAP where that is to be ignored.
        let late = |a: &&SigAction| a.signal == libc::SIGTRAP as u32 && a.handler == IGNORED;
        match phase {
            Phase::Settings => {
                signals.actions.iter().filter(|a| !late(a)).for_each(|a| act(script, a))
            }
            Phase::Queue => queue(signals, script)?,
            _ => {
                if let Some(action) = signals.actions.iter().find(late) {
                    script.without_breakpoint()?;
                    act(script, action);
                }
            }
        }
        Ok(())
    }
}

fn queue(signals: &ProcessSignals, script: &mut Script<'_>) -> Result<()> {
    if signals.queued.is_empty() {
        return Ok(());
    }
    script.block_signals()?;
    let pid = Arg::Val(u64::from(signals.pid.0));
    for info in &signals.queued {
        let (slot, signal) = (script.bytes(&info.0), info.0.first().copied().unwrap_or(0));
        script.call(libc::SYS_rt_sigqueueinfo, [pid, Arg::Val(u64::from(signal)), slot.into()]);
        script.breathe()?;
    }
    Ok(())
}

fn act(script: &mut Script<'_>, a: &SigAction) {
    let action = script.words(&[a.handler.0, a.flags, a.restorer.0, a.mask]);
    let args = [Arg::Val(u64::from(a.signal)), action.into(), Arg::Val(0), Arg::Val(8)];
    script.call(libc::SYS_rt_sigaction, args);
}
