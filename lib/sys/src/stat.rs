//! The numbers of /proc/PID/stat.

use crate::{Error, Result};

/// What /proc/PID/stat says of a process or thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcStat {
    /// The name, between the parentheses.
    pub comm: Vec<u8>,
    /// The state's letter.
    pub state: u8,
    /// Parent.
    pub ppid: u32,
    /// Process group.
    pub pgrp: u32,
    /// Session.
    pub session: u32,
    /// Controlling terminal, 0 for none.
    pub tty_nr: i32,
    /// Its foreground process group, -1 for none.
    pub tpgid: i32,
    /// PF_* flags of the kernel.
    pub flags: u32,
    /// Number of threads.
    pub threads: u32,
    /// Start, in clock ticks since boot.
    pub start_time: u64,
    /// All fields from the state on, as text; field n of proc(5) is number n - 3 here.
    pub fields: Vec<String>,
}

/// Reads /proc/PID/stat.
pub fn proc_stat(pid: u32) -> Result<ProcStat> {
    let path = format!("/proc/{pid}/stat");
    let bytes = std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e).pid(pid))?;
    parse(&bytes)
        .ok_or_else(|| Error::because(format!("read {path}"), "it is not understood").pid(pid))
}

fn parse(bytes: &[u8]) -> Option<ProcStat> {
    // The name may hold anything, parentheses too: it ends at the last one.
    let open = bytes.iter().position(|&b| b == b'(')?;
    let close = bytes.iter().rposition(|&b| b == b')')?;
    let comm = bytes.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let fields: Vec<String> = rest.split_ascii_whitespace().map(str::to_owned).collect();
    Some(ProcStat {
        comm,
        state: *fields.first()?.as_bytes().first()?,
        ppid: fields.get(1)?.parse().ok()?,
        pgrp: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        tty_nr: fields.get(4)?.parse().ok()?,
        tpgid: fields.get(5)?.parse().ok()?,
        flags: fields.get(6)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
        fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = b"7 (a) R 1) t 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 99887 0 0 1 0\n";
        let stat = parse(text).expect("stat");
        assert_eq!((stat.state, stat.start_time), (b't', 99887));
        assert_eq!(stat.comm, b"a) R 1");
        assert_eq!(parse(b"7 (a"), None);
    }
}
