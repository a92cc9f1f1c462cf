//! File locks, by the `lock:` lines of /proc/PID/fdinfo/FD (fs/locks.c, lock_get_status).

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_records::{FdNum, FileId, Lock, LockKind, Locks, Pid};

impl OfDescriptor for Locks {
    fn claims_lock(kind: &str) -> bool {
        matches!(kind, "FLOCK" | "POSIX" | "OFDLCK")
    }

    /// Those of a description show on each of its descriptors.
    fn take(seen: &Descriptor<'_>, _: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let mut locks =
            locks(&seen.info).map_err(|problem| Problem::new("descriptor.lock", problem))?;
        locks.retain(|lock| first || lock.kind == LockKind::Posix);
        let found = Locks { pid: Pid(seen.pid), fd: FdNum(seen.fd), locks };
        Ok(if found.locks.is_empty() { Vec::new() } else { vec![found] })
    }
}

/// The locks that are held by way of a descriptor; lines of other kinds belong to other properties.
fn locks(info: &str) -> Result<Vec<Lock>, &'static str> {
    info.lines().filter_map(|line| line.strip_prefix("lock:")).filter_map(lock).collect()
}

/// `1: FLOCK  ADVISORY  WRITE 1234 00:2a:567 0 EOF`
fn lock(line: &str) -> Option<Result<Lock, &'static str>> {
    let broken = "a lock on it has an unknown form";
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, kind, _, mode, _, _, start, last] = words[..] else { return Some(Err(broken)) };
    let kind = match kind {
        "FLOCK" => LockKind::Flock,
        "POSIX" => LockKind::Posix,
        "OFDLCK" => LockKind::Ofd,
        _ => return None,
    };
    let (start, end) = (start.parse(), last.parse());
    let last = if last == "EOF" { Ok(None) } else { end.map(Some) };
    let (Ok(start), Ok(last)) = (start, last) else { return Some(Err(broken)) };
    Some(Ok(Lock { kind, exclusive: mode == "WRITE", start, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read() {
        let info = "pos:\t0\nflags:\t0100002\nlock:\t1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF\n\
            lock:\t2: POSIX  ADVISORY  READ  77 fe:00:1234 10 19\nlock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 5 EOF\n";
        let lock = |kind, exclusive, start, last| Lock { kind, exclusive, start, last };
        let want = vec![
            lock(LockKind::Flock, true, 0, None),
            lock(LockKind::Posix, false, 10, Some(19)),
            lock(LockKind::Ofd, true, 5, None),
        ];
        assert_eq!(locks(info), Ok(want));
        assert_eq!(locks("pos:\t0\n"), Ok(Vec::new()));
        assert_eq!(locks("lock:\t1: LEASE  ACTIVE    READ  77 fe:00:1234 0 EOF\n"), Ok(Vec::new()));
        assert!(locks("lock:\t1: FLOCK  ADVISORY\n").is_err());
    }
}
