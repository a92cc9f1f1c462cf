//! /proc/PID/timers (proc_pid_timers(5)).

use crate::{
    read, unable,
    words::{decimal, hex, lines, split, unknown},
};
use floe_sys::Result;
use std::io;

/// Flag of `sigev_notify`.
const SIGEV_THREAD_ID: u32 = 4;

/// A timer of timer_create(2); when it expires, only the process itself can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerDefinition {
    /// The kernel's number.
    pub id: u32,
    /// Clock, as timer_create(2) takes it.
    pub clock: i32,
    /// SIGEV_SIGNAL (0), SIGEV_NONE (1) or SIGEV_THREAD (2), with SIGEV_THREAD_ID (4).
    pub notify: u32,
    /// Signal number.
    pub signal: u32,
    /// Value that comes with the signal.
    pub value: u64,
    /// Thread that is notified, for SIGEV_THREAD_ID.
    pub tid: Option<u32>,
}

/// The timers of a process by ascending id. Needs CONFIG_CHECKPOINT_RESTORE and the right to trace the process.
pub fn timers(pid: u32) -> Result<Vec<TimerDefinition>> {
    parse(&read(pid, "timers")?).map_err(|e| unable(pid, "timers", e))
}

/// [`timers()`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<Vec<TimerDefinition>> {
    let mut all = Vec::new();
    let mut open: Option<Open> = None;
    for line in lines(text) {
        let (key, value) = split(line, b':', "a timer")?;
        if key == b"ID" {
            all.extend(open.take().map(Open::close).transpose()?);
            open = Some(Open { id: decimal(value, "an id")?, ..Open::default() });
        } else {
            open.as_mut().ok_or_else(|| unknown("a timer"))?.take(key, value)?;
        }
    }
    all.extend(open.map(Open::close).transpose()?);
    all.sort_by_key(|timer: &TimerDefinition| timer.id);
    Ok(all)
}

/// A timer whose lines are being read.
#[derive(Default)]
struct Open {
    id: u32,
    clock: Option<i32>,
    signal: Option<(u32, u64)>,
    notify: Option<(u32, Option<u32>)>,
}

impl Open {
    fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match key {
            b"signal" => self.signal = Some(signal(value)?),
            b"notify" => self.notify = Some(notify(value)?),
            b"ClockID" => self.clock = Some(decimal(value, "a clock")?),
            // Newer kernels add lines.
            _ => {}
        }
        Ok(())
    }

    fn close(self) -> io::Result<TimerDefinition> {
        let missing = || unknown("a timer");
        let (signal, value) = self.signal.ok_or_else(missing)?;
        let (notify, tid) = self.notify.ok_or_else(missing)?;
        let clock = self.clock.ok_or_else(missing)?;
        Ok(TimerDefinition { id: self.id, clock, notify, signal, value, tid })
    }
}

/// `10/0000000012345678`. Depending on the kernel's printf the value has `0x` in front, and a null pointer is a word.
fn signal(text: &[u8]) -> io::Result<(u32, u64)> {
    const WHAT: &str = "a timer's signal";
    let (number, value) = split(text, b'/', WHAT)?;
    let value = value.trim_ascii();
    let value = match value.strip_prefix(b"0x").unwrap_or(value) {
        b"(null)" => 0,
        digits => hex(digits, WHAT)?,
    };
    Ok((decimal(number, WHAT)?, value))
}

/// `signal/pid.77`, `thread/tid.78`
fn notify(text: &[u8]) -> io::Result<(u32, Option<u32>)> {
    const WHAT: &str = "a timer's notification";
    let (how, whom) = split(text, b'/', WHAT)?;
    let how = match how.trim_ascii() {
        b"signal" => 0,
        b"none" => 1,
        b"thread" => 2,
        _ => return Err(unknown(WHAT)),
    };
    let (kind, id) = split(whom, b'.', WHAT)?;
    let id = decimal(id, WHAT)?;
    match kind.trim_ascii() {
        b"tid" => Ok((how | SIGEV_THREAD_ID, Some(id))),
        b"pid" => Ok((how, None)),
        _ => Err(unknown(WHAT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n\
        ID: 0\nsignal: 34/(null)\nnotify: thread/tid.2635\nClockID: -6\nnew: line\n";

    #[test]
    fn definitions_are_read_by_ascending_id() {
        let thread =
            TimerDefinition { id: 0, clock: -6, notify: 6, signal: 34, value: 0, tid: Some(2635) };
        let value = 0x7fff_86e4_52a8;
        let signal = TimerDefinition { id: 1, clock: 0, notify: 0, signal: 60, value, tid: None };
        assert_eq!(parse(TEXT.as_bytes()).unwrap(), [thread, signal]);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn what_is_missing_or_broken_is_an_error() {
        for line in ["ID: 1\n", "signal: 34/(null)\n", "notify: signal/pid.2634\n", "ClockID: -6\n"]
        {
            assert!(parse(TEXT.replace(line, "").as_bytes()).is_err(), "{line}");
        }
        for (from, to) in [("pid.", "uid."), ("thread", "smoke"), ("-6", "x"), ("(null)", "0xg")] {
            assert!(parse(TEXT.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn this_process_has_none() {
        assert_eq!(timers(std::process::id()).unwrap(), []);
    }
}
