//! Timers: definitions from /proc/PID/timers, what is left from the task itself.

use crate::{Result, process::settings::words, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Call, Replies, Slot};
use floe_proc::TimerDefinition;
use floe_records::{Addr, Finding, Findings, Pid, PosixTimer, Tid, Timers};

/// Of `sigev_notify`.
const SIGEV_NONE: u32 = 1;
/// How the kernel notes CLOCK_THREAD_CPUTIME_ID: of the thread that asked.
const OF_A_THREAD: i32 = -2;

/// Where the answers will be found.
pub(crate) struct Asked {
    /// Definitions, each with its times and its overrun.
    posix: Vec<(TimerDefinition, Slot, Call)>,
    itimers: [Slot; 3],
}

impl OfProcess for Timers {
    type Asked = Asked;

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let all = floe_proc::timers(process.pid)?;
        let mut lose = |timer: &TimerDefinition, rule: &str, problem: &str| {
            let object = format!("timer {}", timer.id);
            out.lose(Finding::of(Pid(process.pid), object, rule, problem));
        };
        // One that is told of by a signal has only one signal that waits.
        let mut waiting = if all.is_empty() { 0 } else { process.status.hex("ShdPnd")? };
        for thread in process.tasks.iter().filter(|_| !all.is_empty()) {
            waiting |= thread.status.hex("SigPnd")?;
        }
        for timer in &all {
            let signalled = timer.notify & SIGEV_NONE == 0 && timer.signal > 0;
            if signalled && waiting >> (timer.signal - 1) & 1 != 0 {
                let problem =
                    "its signal waits: how often it has expired since then is not carried";
                lose(timer, "timers.overrun", problem);
            }
            if timer.clock == OF_A_THREAD && process.tasks.len() > 1 {
                let problem = "it measures the processor time of the thread that made it, which is not told: it comes back as one of the main thread";
                lose(timer, "timers.thread", problem);
            }
        }
        Ok(())
    }

    fn ask(process: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        let itimers = [0, 1, 2].map(|which| {
            let slot = batch.zeroed(32);
            batch.call(libc::SYS_getitimer, [which.into(), slot.into()]);
            slot
        });
        let mut timer = |timer: TimerDefinition| {
            let (slot, id) = (batch.zeroed(32), u64::from(timer.id).into());
            batch.call(libc::SYS_timer_gettime, [id, slot.into()]);
            (timer, slot, batch.call(libc::SYS_timer_getoverrun, [id]))
        };
        let posix = floe_proc::timers(process.pid)?.into_iter().map(&mut timer).collect();
        Ok(Asked { posix, itimers })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        let ns = |s: u64, ns: u64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        let us = |s: u64, us: u64| s.saturating_mul(1_000_000).saturating_add(us);
        let mut posix = Vec::with_capacity(asked.posix.len());
        for (TimerDefinition { id, clock, notify, signal, value, tid }, slot, overrun) in
            asked.posix
        {
            let t: [u64; 4] = words(replies, slot);
            let (interval_ns, left_ns) = (ns(t[0], t[1]), ns(t[2], t[3]));
            let overrun = replies.value(overrun)? as i32;
            let (value, tid) = (Addr(value), tid.map(Tid));
            posix.push(PosixTimer {
                id,
                clock,
                notify,
                signal,
                value,
                tid,
                interval_ns,
                left_ns,
                overrun,
            });
        }
        let itimers = asked.itimers.map(|slot| {
            let t: [u64; 4] = words(replies, slot);
            (us(t[0], t[1]), us(t[2], t[3]))
        });
        Ok(vec![Timers { pid: Pid(process.pid), itimers, posix }])
    }
}
