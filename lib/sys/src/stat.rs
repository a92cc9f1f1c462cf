//! /proc/PID/stat (proc_pid_stat(5)): what tells a live process from another that got its pid.

use crate::{Error, Result};

/// State and start time of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcStat {
    /// State letter: `R`, `S`, `t` (held by a tracer) …
    pub state: u8,
    /// Clock ticks since boot.
    pub start_time: u64,
}

/// Reads /proc/PID/stat.
pub fn proc_stat(pid: u32) -> Result<ProcStat> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e).pid(pid))?;
    parse(&text)
        .ok_or_else(|| Error::because(format!("read {path}"), "it has another shape").pid(pid))
}

/// The name stands in parentheses and may hold any byte: fields are counted behind the last one.
fn parse(text: &[u8]) -> Option<ProcStat> {
    let behind = text.iter().rposition(|byte| *byte == b')')? + 2;
    let fields: Vec<&str> = std::str::from_utf8(text.get(behind..)?).ok()?.split(' ').collect();
    let state = *fields.first()?.as_bytes().first()?;
    Some(ProcStat { state, start_time: fields.get(19)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = b"7 (a) R 1) t 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 99887 0 0 1 0\n";
        assert_eq!(parse(text), Some(ProcStat { state: b't', start_time: 99887 }));
        assert_eq!(parse(b"7 (a"), None);
    }
}
