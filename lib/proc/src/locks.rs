//! File locks: /proc/locks (proc_locks(5)) and the `lock:` lines of fdinfo.

use crate::{
    read_at,
    words::{ascii, decimal, device, lines, unknown, words},
};
use floe_sys::{Error, Result};
use std::{fmt, io};

/// What a lock belongs to and how it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockKind {
    /// flock(2).
    Flock,
    /// F_SETLK of fcntl(2).
    Posix,
    /// F_OFD_SETLK of fcntl(2).
    Ofd,
    /// F_SETLEASE of fcntl(2).
    Lease(LeaseState),
    /// A lease of the kernel's own file server.
    Delegation(LeaseState),
    /// Another kind, by its name.
    Other(String),
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Held.
    Active,
    /// Somebody has opened the file: the holder must give it up.
    Breaking,
    /// Held by no file any more.
    Breaker,
}

impl fmt::Display for LockKind {
    /// As the kernel names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flock => "FLOCK",
            Self::Posix => "POSIX",
            Self::Ofd => "OFDLCK",
            Self::Lease(_) => "LEASE",
            Self::Delegation(_) => "DELEG",
            Self::Other(name) => name,
        })
    }
}

/// What a lock permits. For a lease that is breaking: what it must become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Access {
    Read,
    Write,
    Unlock,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Not held: waits for the lock that is listed before it.
    pub waits: bool,
    /// Kind.
    pub kind: LockKind,
    /// Shared or exclusive.
    pub access: Access,
    /// Holder; 0 for one outside of the pid namespace, -1 where it is an open file description.
    pub pid: i32,
    /// Device and inode of the file, `None` where the kernel does not know it any more.
    pub file: Option<(u64, u64)>,
    /// First byte.
    pub start: u64,
    /// Last byte; `None` up to the end of the file, however long it gets.
    pub last: Option<u64>,
}

/// All locks of the system whose holders our pid namespace knows.
pub fn system_locks() -> Result<Vec<Lock>> {
    let path = "/proc/locks";
    parse(&read_at(path)?).map_err(|e| Error::new(format!("read {path}"), e))
}

/// [`system_locks`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<Vec<Lock>> {
    lines(text).map(line).collect()
}

/// `1: FLOCK  ADVISORY  WRITE 1234 00:2a:567 0 EOF`, after the number `->` where it waits.
pub(crate) fn line(text: &[u8]) -> io::Result<Lock> {
    const WHAT: &str = "a lock";
    let mut fields = words(text).skip(1).peekable();
    let waits = fields.next_if_eq(b"->").is_some();
    let mut field = || fields.next().ok_or_else(|| unknown(WHAT));
    let kind = kind(field()?, field()?)?;
    let access = match field()? {
        b"READ" => Access::Read,
        b"WRITE" => Access::Write,
        b"UNLCK" => Access::Unlock,
        _ => return Err(unknown(WHAT)),
    };
    let pid = decimal(field()?, WHAT)?;
    let file = match field()? {
        b"<none>:0" => None,
        file => {
            // The inode number is behind the second colon.
            let cut = file.iter().rposition(|byte| *byte == b':').ok_or_else(|| unknown(WHAT))?;
            Some((device(&file[..cut], WHAT)?, decimal(&file[cut + 1..], WHAT)?))
        }
    };
    let start = decimal(field()?, WHAT)?;
    let last = match field()? {
        b"EOF" => None,
        last => Some(decimal(last, WHAT)?),
    };
    if fields.next().is_some() {
        return Err(unknown(WHAT));
    }
    Ok(Lock { waits, kind, access, pid, file, start, last })
}

fn kind(kind: &[u8], state: &[u8]) -> io::Result<LockKind> {
    let lease = || match state {
        b"ACTIVE" => Ok(LeaseState::Active),
        b"BREAKING" => Ok(LeaseState::Breaking),
        b"BREAKER" => Ok(LeaseState::Breaker),
        _ => Err(unknown("a lease")),
    };
    Ok(match kind {
        b"FLOCK" => LockKind::Flock,
        b"POSIX" => LockKind::Posix,
        b"OFDLCK" => LockKind::Ofd,
        b"LEASE" => LockKind::Lease(lease()?),
        b"DELEG" => LockKind::Delegation(lease()?),
        other => LockKind::Other(ascii(other, "a lock")?.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_kind_is_read() {
        let text = b"1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF\n\
            2: POSIX  ADVISORY  READ  77 fe:00:1234 10 19\n2: -> POSIX  ADVISORY  WRITE 78 fe:00:1234 10 10\n\
            3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 5 EOF\n4: LEASE  BREAKING  UNLCK 77 fe:00:1234 0 EOF\n\
            5: DELEG  ACTIVE    READ 0 <none>:0 0 EOF\n6: ACCESS ADVISORY  READ 1 00:01:2 0 EOF\n";
        let all = parse(text).unwrap();
        let kinds: Vec<_> = all.iter().map(|lock| lock.kind.clone()).collect();
        let want = [
            LockKind::Flock,
            LockKind::Posix,
            LockKind::Posix,
            LockKind::Ofd,
            LockKind::Lease(LeaseState::Breaking),
            LockKind::Delegation(LeaseState::Active),
            LockKind::Other("ACCESS".into()),
        ];
        assert_eq!(kinds, want);
        assert_eq!(all[0].file, Some((libc::makedev(0xfe, 0), 1234)));
        assert_eq!((all[1].start, all[1].last, all[1].access), (10, Some(19), Access::Read));
        assert_eq!((all[2].waits, all[1].waits, all[3].pid), (true, false, -1));
        assert_eq!((all[4].access, all[5].file), (Access::Unlock, None));
    }

    #[test]
    fn rubbish_is_an_error() {
        for text in [
            "1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0",
            "1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF more",
            "1: FLOCK  ADVISORY  NONE 77 fe:00:1234 0 EOF",
            "1: LEASE  ADVISORY  WRITE 77 fe:00:1234 0 EOF",
            "1: FLOCK  ADVISORY  WRITE x fe:00:1234 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 77 1234 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 -1 EOF",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_lock_of_ours_is_found() {
        let path = std::env::temp_dir().join(format!("floe-proc-lock-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.lock().unwrap();
        let ino = file.metadata().unwrap().ino();
        let own = system_locks().unwrap().into_iter().find(|l| l.file.is_some_and(|f| f.1 == ino));
        let own = own.unwrap();
        assert_eq!((own.kind, own.access), (LockKind::Flock, Access::Write));
        assert_eq!(own.pid, std::process::id() as i32);
    }
}
