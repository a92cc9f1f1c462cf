//! Timers: definitions from /proc/PID/timers, what is left from the task itself.

use crate::{ask::ProcessAnswers, proc};
use floe_records::{Addr, Pid, PosixTimer, Tid, Timers};
use floe_sys::Result;
use std::io;

const SIGEV_THREAD_ID: u32 = 4;

/// The timers of timer_create(2), by ascending id, without their times.
pub(crate) fn definitions(pid: u32) -> Result<Vec<PosixTimer>> {
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

pub(crate) fn timers(pid: u32, mut posix: Vec<PosixTimer>, answers: &ProcessAnswers) -> Timers {
    let ns = |s: u64, ns: u64| s.saturating_mul(1_000_000_000).saturating_add(ns);
    let us = |s: u64, us: u64| s.saturating_mul(1_000_000).saturating_add(us);
    for (timer, (_, t, overrun)) in posix.iter_mut().zip(&answers.timers) {
        timer.interval_ns = ns(t[0], t[1]);
        timer.left_ns = ns(t[2], t[3]);
        timer.overrun = *overrun;
    }
    let itimers = answers.itimers.map(|t| (us(t[0], t[1]), us(t[2], t[3])));
    Timers { pid: Pid(pid), itimers, posix }
}
