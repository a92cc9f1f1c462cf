//! File locks, by the `lock:` lines of /proc/PID/fdinfo/FD.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_proc::{Access, Fdinfo};
use floe_records::{FdNum, FileId, Lock, LockKind, Locks, Pid};

impl OfDescriptor for Locks {
    fn claims_lock(kind: &floe_proc::LockKind) -> bool {
        use floe_proc::LockKind::{Flock, Ofd, Posix};
        matches!(kind, Flock | Posix | Ofd)
    }

    /// Those of a description show on each of its descriptors.
    fn take(seen: &Descriptor<'_>, _: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let mut locks =
            locks(seen.info).map_err(|problem| Problem::new("descriptor.lock", problem))?;
        locks.retain(|lock| first || lock.kind == LockKind::Posix);
        let found = Locks { pid: Pid(seen.pid), fd: FdNum(seen.fd), locks };
        Ok(if found.locks.is_empty() { Vec::new() } else { vec![found] })
    }
}

/// The locks that are held by way of a descriptor; those of other kinds belong to other properties.
fn locks(info: &Fdinfo) -> Result<Vec<Lock>, &'static str> {
    let all = info.locks().map_err(|_| "a lock on it has an unknown form")?;
    Ok(all.into_iter().filter_map(lock).collect())
}

fn lock(lock: floe_proc::Lock) -> Option<Lock> {
    let kind = match lock.kind {
        floe_proc::LockKind::Flock => LockKind::Flock,
        floe_proc::LockKind::Posix => LockKind::Posix,
        floe_proc::LockKind::Ofd => LockKind::Ofd,
        _ => return None,
    };
    let exclusive = lock.access == Access::Write;
    Some(Lock { kind, exclusive, start: lock.start, last: lock.last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(lines: &str) -> Fdinfo {
        let text = format!("pos:\t0\nflags:\t0100002\nmnt_id:\t1\nino:\t2\n{lines}");
        Fdinfo::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn every_kind_is_taken_or_refused() {
        let text = "lock:\t1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF\n\
            lock:\t2: POSIX  ADVISORY  READ  77 fe:00:1234 10 19\n\
            lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 5 EOF\n";
        let lock = |kind, exclusive, start, last| Lock { kind, exclusive, start, last };
        let want = vec![
            lock(LockKind::Flock, true, 0, None),
            lock(LockKind::Posix, false, 10, Some(19)),
            lock(LockKind::Ofd, true, 5, None),
        ];
        assert_eq!(locks(&info(text)), Ok(want));
        assert_eq!(locks(&info("")), Ok(Vec::new()));
        let lease = "lock:\t1: LEASE  ACTIVE    READ  77 fe:00:1234 0 EOF\n";
        assert_eq!(locks(&info(lease)), Ok(Vec::new()));
        assert!(locks(&info("lock:\t1: POSIX READ 77 fe:00:1234 0 EOF\n")).is_err());
    }
}
