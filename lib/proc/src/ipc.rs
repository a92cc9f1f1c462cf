//! Sets of semaphores and message queues of System V: /proc/sysvipc/sem and msg (proc_sysvipc(5)), those of the IPC namespace of the
//! reader.

use crate::{
    read_at,
    words::{decimal, lines, radix, unknown, words},
};
use floe_sys::{Error, Result};
use std::io;

/// What both kinds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpcEntry {
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// Identifier.
    pub id: u32,
    /// Permissions.
    pub mode: u32,
    /// Semaphores of a set, messages in a queue.
    pub count: u64,
    /// Bytes in a queue.
    pub bytes: u64,
    /// User and group that it belongs to.
    pub owner: [u32; 2],
    /// User and group that made it.
    pub creator: [u32; 2],
}

/// All sets of semaphores.
///
/// # Errors
/// Those of open(2); ENOENT where the kernel has no System V IPC.
pub fn semaphore_sets() -> Result<Vec<IpcEntry>> {
    read("/proc/sysvipc/sem", false)
}

/// All message queues.
///
/// # Errors
/// Those of open(2); ENOENT where the kernel has no System V IPC.
pub fn message_lists() -> Result<Vec<IpcEntry>> {
    read("/proc/sysvipc/msg", true)
}

fn read(path: &str, queues: bool) -> Result<Vec<IpcEntry>> {
    let parse = |text: &[u8]| lines(text).skip(1).map(|line| entry(line, queues)).collect();
    let all: io::Result<Vec<IpcEntry>> = parse(&read_at(path)?);
    all.map_err(|e| Error::new(format!("read {path}"), e))
}

fn entry(line: &[u8], is_queue: bool) -> io::Result<IpcEntry> {
    const WHAT: &str = "an object of System V IPC";
    let mut fields = words(line);
    let mut field = || fields.next().ok_or_else(|| unknown(WHAT));
    let key = decimal(field()?, WHAT)?;
    let id = decimal(field()?, WHAT)?;
    let mode = radix(field()?, 8, WHAT)? as u32;
    let bytes = if is_queue { decimal(field()?, WHAT)? } else { 0 };
    let count = decimal(field()?, WHAT)?;
    if is_queue {
        // Who was the last to send, and to receive.
        field()?;
        field()?;
    }
    let owner = [decimal(field()?, WHAT)?, decimal(field()?, WHAT)?];
    let creator = [decimal(field()?, WHAT)?, decimal(field()?, WHAT)?];
    Ok(IpcEntry { key, id, mode, count, bytes, owner, creator })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_kinds() {
        let set =
            b"         7          3   640          5  1000   100     0     0 1795653007 1795653004";
        let found = entry(set, false).unwrap();
        assert_eq!((found.key, found.id, found.mode, found.count), (7, 3, 0o640, 5));
        assert_eq!((found.owner, found.creator), ([1000, 100], [0, 0]));
        let queue = b"  -5   32768   666   12   2   99   98   1   2   3   4  1  2  3";
        let found = entry(queue, true).unwrap();
        assert_eq!((found.key, found.id, found.bytes, found.count), (-5, 32768, 12, 2));
        assert_eq!((found.owner, found.creator), ([1, 2], [3, 4]));
        assert!(entry(b"1 2 3", true).is_err());
    }
}
