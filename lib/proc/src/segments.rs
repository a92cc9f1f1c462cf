//! Segments of System V shared memory: /proc/sysvipc/shm (proc_sysvipc(5)), those of the IPC namespace of the reader.

use crate::{
    read_at,
    words::{decimal, lines, radix, unknown, words},
};
use floe_sys::{Error, Result};
use std::io;

/// A segment (`struct shmid_ds` of shmctl(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Key of shmget(2); 0 (IPC_PRIVATE) for none, as for one that is marked for removal.
    pub key: i32,
    /// Identifier.
    pub id: u32,
    /// Permissions, SHM_DEST (01000) and SHM_LOCKED (02000).
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// The process that made it, and the last one that attached or detached it; 0 for those outside of the pid namespace.
    pub pids: [i32; 2],
    /// How many mappings there are of it, in all processes.
    pub attached: u64,
    /// User and group that it belongs to.
    pub owner: [u32; 2],
    /// User and group that made it.
    pub creator: [u32; 2],
}

/// Identifiers and all else of the segments.
///
/// # Errors
/// Those of open(2); ENOENT where the kernel has no System V IPC.
pub fn segments() -> Result<Vec<Segment>> {
    let path = "/proc/sysvipc/shm";
    parse(&read_at(path)?).map_err(|e| Error::new(format!("read {path}"), e))
}

/// [`segments`] of recorded text.
pub fn parse(text: &[u8]) -> io::Result<Vec<Segment>> {
    lines(text).skip(1).map(line).collect()
}

fn line(text: &[u8]) -> io::Result<Segment> {
    const WHAT: &str = "a segment of shared memory";
    let mut fields = words(text);
    let mut field = || fields.next().ok_or_else(|| unknown(WHAT));
    Ok(Segment {
        key: decimal(field()?, WHAT)?,
        id: decimal(field()?, WHAT)?,
        mode: radix(field()?, 8, WHAT)? as u32,
        size: decimal(field()?, WHAT)?,
        pids: [decimal(field()?, WHAT)?, decimal(field()?, WHAT)?],
        attached: decimal(field()?, WHAT)?,
        owner: [decimal(field()?, WHAT)?, decimal(field()?, WHAT)?],
        creator: [decimal(field()?, WHAT)?, decimal(field()?, WHAT)?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap
  10019302         12   600                    56 26796 26797      3   101   104     7     8 1795653007 1795653009 1795653004                  4096                     0
-559038737     163917  1640                 20490 15090     0      1 4294967294     0     0     0 1795663323 1795663323 1795663323                  4096                     0
";

    #[test]
    fn both_forms_of_a_line() {
        let found = parse(TEXT).unwrap();
        let first = Segment {
            key: 10_019_302,
            id: 12,
            mode: 0o600,
            size: 56,
            pids: [26796, 26797],
            attached: 3,
            owner: [101, 104],
            creator: [7, 8],
        };
        assert_eq!(found[0], first);
        assert_eq!((found[1].key, found[1].mode), (-559_038_737, 0o1640));
        assert_eq!(found[1].owner[0], u32::MAX - 1);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        assert!(parse(b"head\n 1 2 600 4096 1 2 3 0 0 0\n").is_err());
        assert!(parse(b"head\n 1 2 -600 4096 1 2 3 0 0 0 0\n").is_err());
    }
}
