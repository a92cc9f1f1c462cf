//! File locks, by the `lock:` lines of /proc/PID/fdinfo/FD (fs/locks.c, lock_get_status).

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_records::{FdNum, FileId, Lock, LockKind, Locks, Pid};

impl OfDescriptor for Locks {
    /// Those of a description show on each of its descriptors.
    fn take(seen: &Descriptor<'_>, _: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let mut locks =
            locks(&seen.info).map_err(|problem| Problem::new("descriptor.lock", problem))?;
        locks.retain(|lock| first || lock.kind == LockKind::Posix);
        let found = Locks { pid: Pid(seen.pid), fd: FdNum(seen.fd), locks };
        Ok(if found.locks.is_empty() { Vec::new() } else { vec![found] })
    }
}

/// The locks that are held by way of a descriptor.
fn locks(info: &str) -> Result<Vec<Lock>, &'static str> {
    info.lines().filter_map(|line| line.strip_prefix("lock:")).map(lock).collect()
}

/// `1: FLOCK  ADVISORY  WRITE 1234 00:2a:567 0 EOF`
fn lock(line: &str) -> Result<Lock, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, kind, _, mode, _, _, start, last] = words[..] else {
        return Err("a lock on it has an unknown form");
    };
    let kind = match kind {
        "FLOCK" => LockKind::Flock,
        "POSIX" => LockKind::Posix,
        "OFDLCK" => LockKind::Ofd,
        "LEASE" => return Err("a lease on it (F_SETLEASE) cannot be captured"),
        _ => return Err("this kind of lock on it cannot be captured"),
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| "a lock on it has an unknown form");
    let last = if last == "EOF" { None } else { Some(number(last)?) };
    Ok(Lock { kind, exclusive: mode == "WRITE", start: number(start)?, last })
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
        assert!(locks("lock:\t1: LEASE  ACTIVE    READ  77 fe:00:1234 0 EOF\n").is_err());
    }
}
