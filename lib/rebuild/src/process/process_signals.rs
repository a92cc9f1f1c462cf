//! Signal actions, and the queue of a process.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
    states::take_pending,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::{Addr, News, Pid, ProcessSignals, SigAction, State, Tree};
use floe_sys::Result;

const P_PID: u64 = libc::P_PID as u64;
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
            Phase::Queue => {
                take_news(context.tree, pid, script)?;
                queue(context.tree, signals, script)?;
            }
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

/// Takes what the parent was told of its children when they were brought into their states: the signals, and reports that it
/// had taken before.
fn take_news(tree: &Tree, pid: Pid, script: &mut Script<'_>) -> Result<()> {
    let (mut set, mut count) = (0, 0);
    for child in tree.children(pid) {
        let news = tree.news(child.pid);
        let signal = match child.state {
            State::Zombie(_) => child.exit_signal,
            State::Stopped(_) => libc::SIGCHLD as u32,
            State::Alive if news == Some(&News::Continued) => libc::SIGCHLD as u32,
            State::Alive => continue,
        };
        if matches!(child.state, State::Stopped(_)) && news.is_none() {
            let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
            let id = Arg::Val(script.called(tree, child.pid.0)?);
            let args = [Arg::Val(P_PID), id, Arg::Val(0), Arg::Val(flags as u64), Arg::Val(0)];
            script.call(libc::SYS_waitid, args);
        }
        if signal != 0 {
            set |= 1 << (signal - 1);
            count += 1;
        }
        script.breathe()?;
    }
    take_pending(script, set, count);
    script.breathe()
}

fn queue(tree: &Tree, signals: &ProcessSignals, script: &mut Script<'_>) -> Result<()> {
    if signals.queued.is_empty() {
        return Ok(());
    }
    script.block_signals()?;
    let pid = Arg::Val(script.called(tree, signals.pid.0)?);
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
