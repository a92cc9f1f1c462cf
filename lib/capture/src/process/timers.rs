//! Timers: definitions from /proc/PID/timers, what is left from the task itself.

use crate::{Result, proc, process::settings::words, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Call, Replies, Slot};
use floe_records::{Addr, Pid, PosixTimer, Tid, Timers};
use std::io;

const SIGEV_THREAD_ID: u32 = 4;

/// The timers of timer_create(2), by ascending id, without their times.
fn definitions(pid: u32) -> Result<Vec<PosixTimer>> {
    let text = proc::text(pid, "timers")?;
    let mut timers: Vec<PosixTimer> = Vec::new();
    for line in text.lines() {
        let read = line.split_once(": ").and_then(|(key, value)| take(&mut timers, key, value));
        read.ok_or_else(|| proc::unable(pid, "timers", io::Error::other("unknown form")))?;
    }
    timers.sort_by_key(|t| t.id);
    Ok(timers)
}

/// One line; `None` when it cannot be read.
fn take(timers: &mut Vec<PosixTimer>, key: &str, value: &str) -> Option<()> {
    if key == "ID" {
        timers.push(PosixTimer {
            id: value.trim().parse().ok()?,
            clock: 0,
            notify: 0,
            signal: 0,
            value: Addr(0),
            tid: None,
            interval_ns: 0,
            left_ns: 0,
            overrun: 0,
        });
        return Some(());
    }
    let timer = timers.last_mut()?;
    match key {
        "signal" => {
            let (signal, value) = value.split_once('/')?;
            timer.signal = signal.trim().parse().ok()?;
            let value = value.trim().trim_start_matches("0x");
            // A null pointer may be printed as a word.
            timer.value =
                Addr(if value == "(null)" { 0 } else { u64::from_str_radix(value, 16).ok()? });
        }
        "notify" => {
            let (how, whom) = value.split_once('/')?;
            let (what, id) = whom.split_once('.')?;
            timer.notify = match how.trim() {
                "signal" => 0,
                "none" => 1,
                "thread" => 2,
                _ => return None,
            };
            if what == "tid" {
                timer.notify |= SIGEV_THREAD_ID;
                timer.tid = Some(Tid(id.trim().parse().ok()?));
            }
        }
        "ClockID" => timer.clock = value.trim().parse().ok()?,
        // Lines that newer kernels add say nothing that is needed.
        _ => {}
    }
    Some(())
}

/// Where the answers will be found.
pub(crate) struct Asked {
    /// Definitions, each with its times and its overrun.
    posix: Vec<(PosixTimer, Slot, Call)>,
    itimers: [Slot; 3],
}

impl OfProcess for Timers {
    type Asked = Asked;

    fn ask(process: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        let itimers = [0, 1, 2].map(|which| {
            let slot = batch.zeroed(32);
            batch.call(libc::SYS_getitimer, [which.into(), slot.into()]);
            slot
        });
        let mut timer = |timer: PosixTimer| {
            let (slot, id) = (batch.zeroed(32), u64::from(timer.id).into());
            batch.call(libc::SYS_timer_gettime, [id, slot.into()]);
            (timer, slot, batch.call(libc::SYS_timer_getoverrun, [id]))
        };
        let posix = definitions(process.pid)?.into_iter().map(&mut timer).collect();
        Ok(Asked { posix, itimers })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        let ns = |s: u64, ns: u64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        let us = |s: u64, us: u64| s.saturating_mul(1_000_000).saturating_add(us);
        let mut posix = Vec::with_capacity(asked.posix.len());
        for (mut timer, slot, overrun) in asked.posix {
            let t: [u64; 4] = words(replies, slot);
            timer.interval_ns = ns(t[0], t[1]);
            timer.left_ns = ns(t[2], t[3]);
            timer.overrun = replies.value(overrun)? as i32;
            posix.push(timer);
        }
        let itimers = asked.itimers.map(|slot| {
            let t: [u64; 4] = words(replies, slot);
            (us(t[0], t[1]), us(t[2], t[3]))
        });
        Ok(vec![Timers { pid: Pid(process.pid), itimers, posix }])
    }
}
