//! Brings stubs into the states of their processes (ended, stopped, continued) while their parents can still be asked to take
//! what they are told of it.

use crate::{script::Script, stubs::Stubs};
use floe_parasite::Arg;
use floe_records::*;
use floe_sys::{Error, Result};
use floe_tracee::Stop;
use nix::sys::signal::{Signal, kill};
use std::collections::BTreeSet;

/// Has a stub end as its process did. Its parent in the tree is told of it then, and keeps it as a zombie.
pub(crate) fn die(tree: &Tree, stubs: &mut Stubs, pid: Pid) -> Result<()> {
    let Some(State::Zombie(status)) = tree.get::<Process>(pid).map(|p| p.state) else {
        return Ok(());
    };
    if let Some(News::Ended { uid, comm }) = tree.news(pid) {
        look_like(stubs, pid, *uid, comm)?;
    }
    let hole = stubs.hole;
    let Some(mut tracee) = stubs.end(pid) else { return Ok(()) };
    let mut regs = tracee.regs()?;
    regs.set_rip(hole).set_orig_rax(u64::MAX).set_rax(libc::SYS_exit_group as u64);
    regs.set_rdi(u64::from(status >> 8 & 0xff));
    let called = tree.seen_by(pid, pid.0).unwrap_or(pid.0);
    if status & 0x7f != 0 && tree.init_of(tree.pid_space(pid)) == Some(pid) {
        // No signal from inside of its namespace ends it.
        kill(nix::unistd::Pid::from_raw(pid.0 as i32), Signal::SIGKILL)
            .map_err(|e| Error::new("end it", e).pid(pid.0))?;
    } else if status & 0x7f != 0 {
        regs.set_rax(libc::SYS_kill as u64)
            .set_rdi(u64::from(called))
            .set_rsi(u64::from(status & 0x7f));
        tracee.set_sigmask(0)?;
    }
    tracee.set_regs(&regs)?;
    let mut signal = 0;
    loop {
        signal = match tracee.cont(signal)?.wait()? {
            stop if stop.is_end() => return Ok(()),
            Stop::Signal(signal) => signal,
            _ => 0,
        };
    }
}

/// Name and user of a stub that is to end; it leaves no core file.
fn look_like(stubs: &Stubs, pid: Pid, uid: u32, comm: &Bytes) -> Result<()> {
    let mut script = Script::new(stubs, Tid(pid.0));
    script.label("have it end as it did".to_owned());
    let mut name = comm.0.clone();
    name.resize(16, 0);
    let name = script.bytes(&name);
    script.call(libc::SYS_prctl, [libc::PR_SET_NAME.into(), name.into()]);
    script.call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), Arg::Val(0)]);
    let uid = Arg::Val(u64::from(uid));
    script.call(libc::SYS_setresuid, [uid, uid, uid]);
    script.run().map(drop)
}

/// Has a process be stopped, and go on again where that is what its parent is to be told. All its threads stay traced.
pub(crate) fn stop(
    tree: &Tree,
    watched: &BTreeSet<Pid>,
    stubs: &mut Stubs,
    pid: Pid,
) -> Result<()> {
    let Some(process) = tree.get::<Process>(pid) else { return Ok(()) };
    let continued = matches!(tree.news(pid), Some(News::Continued));
    let signal = match process.state {
        State::Stopped(signal) => stop_signal(tree, watched, process, signal),
        _ => Signal::SIGSTOP,
    };
    let threads: Vec<i32> = tree.threads(pid).map(|thread| thread.tid.0 as i32).collect();
    send(pid, signal)?;
    take_signal(stubs, pid, signal as i32)?;
    settle(stubs, &threads)?;
    if continued {
        send(pid, Signal::SIGCONT)?;
        settle(stubs, &threads)?;
        let mut script = Script::new(stubs, Tid(pid.0));
        script.label("take a signal".to_owned());
        take_pending(&mut script, 1 << (libc::SIGCONT - 1), 1);
        script.run()?;
    }
    Ok(())
}

/// Calls that take signals of a set from the queue, at most as many as that.
pub(crate) fn take_pending(script: &mut Script<'_>, set: u64, count: usize) {
    let (set, now) = (script.words(&[set]), script.words(&[0, 0]));
    for _ in 0..count {
        let args = [set.into(), Arg::Val(0), now.into(), Arg::Val(8)];
        script.try_call(libc::SYS_rt_sigtimedwait, args);
    }
}

fn send(pid: Pid, signal: Signal) -> Result<()> {
    let target = nix::unistd::Pid::from_raw(pid.0 as i32);
    kill(target, signal).map_err(|e| Error::new(format!("send it {signal}"), e).pid(pid.0))
}

/// Lets the leader receive a stop signal that was sent to it.
fn take_signal(stubs: &mut Stubs, pid: Pid, signal: i32) -> Result<()> {
    let leader = stubs.tracee_mut(pid.0 as i32)?;
    let mask = leader.sigmask()?;
    leader.set_sigmask(mask & !(1 << (signal - 1)))?;
    let mut pass = 0;
    loop {
        // The signal waits already: no instruction runs before it is received.
        pass = match leader.cont(pass)?.wait()? {
            Stop::Signal(met) if met == signal => signal,
            Stop::Group(_) => return leader.set_sigmask(mask),
            Stop::Interrupted => 0,
            stop => {
                let what = format!("it stopped by {stop:?}");
                return Err(Error::because("stop it", what).pid(pid.0));
            }
        };
    }
}

/// All threads take part in a stop, or see its end.
fn settle(stubs: &mut Stubs, threads: &[i32]) -> Result<()> {
    threads.iter().try_for_each(|tid| stubs.tracee_mut(*tid)?.settle())
}

/// The signal that had stopped a process, where that is sure to stop it; SIGSTOP always does.
fn stop_signal(tree: &Tree, watched: &BTreeSet<Pid>, process: &Process, signal: u32) -> Signal {
    let by_key = Signal::try_from(signal as i32).unwrap_or(Signal::SIGSTOP);
    let acts = |action: &SigAction| action.signal == signal && action.handler != Addr(0);
    let handled =
        tree.get::<ProcessSignals>(process.pid).is_none_or(|s| s.actions.iter().any(acts));
    let is_one = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU].contains(&by_key);
    let stops = is_one && !handled && watched.contains(&process.pgid);
    if stops { by_key } else { Signal::SIGSTOP }
}

/// Process groups that somebody of their session could set going again: in others, the kernel ignores stop signals of the
/// terminal.
pub(crate) fn watched_groups(tree: &Tree) -> BTreeSet<Pid> {
    let watched = |member: &&Process| {
        let parent = tree.get::<Process>(member.ppid);
        parent.is_some_and(|parent| parent.sid == member.sid && parent.pgid != member.pgid)
    };
    tree.all::<Process>().iter().filter(watched).map(|member| member.pgid).collect()
}
