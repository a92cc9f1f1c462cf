//! Sets of semaphores and message queues of System V (sysvipc(7)).

use crate::{
    Error, Result,
    caller::{Call, Caller, call_as},
    check,
};
use std::io;

/// MSG_COPY of include/uapi/linux/msg.h: the message stays, and its place in the queue takes that of its type.
const MSG_COPY: i32 = 0o40000;

/// What semget(2) and msgget(2) make, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewIpc {
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// Identifier that it must have.
    pub id: u32,
    /// Permissions.
    pub mode: u32,
    /// User and group that it belongs to.
    pub owner: [u32; 2],
    /// User and group that make it.
    pub creator: [u32; 2],
}

impl NewIpc {
    /// The maker: any process with these ids.
    fn maker(&self) -> Caller {
        let [uid, gid] = self.creator;
        Caller { pid: 0, uid, gid, groups: Vec::new() }
    }
}

/// Values of the semaphores of a set, and who was the last to change each, by its pid here.
///
/// # Errors
/// Those of semctl(2).
pub fn semaphore_values(id: u32, count: usize) -> Result<(Vec<u16>, Vec<u32>)> {
    let fail = |e: io::Error| Error::new(format!("read the set {id} of semaphores"), e);
    let mut values = vec![0u16; count];
    // SAFETY: an all-zero semid_ds is valid.
    let mut about: libc::semid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to a live local.
    let read = unsafe { libc::semctl(id as i32, 0, libc::IPC_STAT, &raw mut about) };
    check(read.into()).map_err(fail)?;
    // The set of an identifier keeps its size: the kernel writes as many values.
    if about.sem_nsems as usize != count {
        return Err(fail(io::Error::from_raw_os_error(libc::EIDRM)));
    }
    // SAFETY: the array has a place for each value.
    let read = unsafe { libc::semctl(id as i32, 0, libc::GETALL, values.as_mut_ptr()) };
    check(read.into()).map_err(fail)?;
    let mut pids = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: numbers only.
        let pid = unsafe { libc::semctl(id as i32, at as i32, libc::GETPID) };
        pids.push(check(pid.into()).map_err(fail)? as u32);
    }
    Ok((values, pids))
}

/// Makes a set of semaphores with these values and a given identifier (kernel.sem_next_id; needs CAP_CHECKPOINT_RESTORE).
///
/// # Errors
/// EEXIST where the key or the identifier is taken.
pub fn make_semaphores(new: &NewIpc, values: &[u16]) -> Result<()> {
    let fail = |e: io::Error| Error::new(format!("make the set {} of semaphores", new.id), e);
    std::fs::write("/proc/sys/kernel/sem_next_id", new.id.to_string()).map_err(fail)?;
    call_as(&new.maker(), Call::Semaphores(new, values.len()))?;
    let id = new.id;
    // SAFETY: the kernel reads as many values as the set has.
    let set = unsafe { libc::semctl(id as i32, 0, libc::SETALL, values.as_ptr()) };
    check(set.into()).map_err(fail)?;
    // SAFETY: an all-zero semid_ds is valid.
    let mut about: libc::semid_ds = unsafe { std::mem::zeroed() };
    (about.sem_perm.uid, about.sem_perm.gid) = (new.owner[0], new.owner[1]);
    about.sem_perm.mode = new.mode as _;
    // SAFETY: the kernel reads a live local.
    let set = unsafe { libc::semctl(id as i32, 0, libc::IPC_SET, &raw mut about) };
    check(set.into()).map(drop).map_err(fail)
}

/// Bytes that a message queue takes (`msg_qbytes`).
///
/// # Errors
/// Those of msgctl(2).
pub fn message_list_room(id: u32) -> Result<u64> {
    let fail = |e: io::Error| Error::new(format!("read the message queue {id}"), e);
    // SAFETY: an all-zero msqid_ds is valid.
    let mut about: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to a live local.
    let read = unsafe { libc::msgctl(id as i32, libc::IPC_STAT, &raw mut about) };
    check(read.into()).map_err(fail)?;
    Ok(about.msg_qbytes)
}

/// Type and text of all messages in a queue, which stay there; none has more than `longest` bytes.
///
/// # Errors
/// Those of msgrcv(2); ENOSYS where the kernel has no MSG_COPY.
pub fn messages(id: u32, longest: usize) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut all = Vec::new();
    // The type stands in front.
    let mut buffer = vec![0u64; 1 + longest.div_ceil(8)];
    loop {
        let flags = MSG_COPY | libc::IPC_NOWAIT;
        // SAFETY: behind the type the buffer has room for `longest` bytes.
        let len = unsafe {
            libc::msgrcv(id as i32, buffer.as_mut_ptr().cast(), longest, all.len() as i64, flags)
        };
        match check(len as i64) {
            Err(e) if e.raw_os_error() == Some(libc::ENOMSG) => return Ok(all),
            Err(e) => return Err(Error::new(format!("read the message queue {id}"), e)),
            Ok(len) => {
                let text = buffer[1..].iter().flat_map(|word| word.to_ne_bytes());
                all.push((buffer[0].cast_signed(), text.take(len as usize).collect()));
            }
        }
    }
}

/// Makes a message queue with these messages and a given identifier (kernel.msg_next_id; needs CAP_CHECKPOINT_RESTORE).
///
/// # Errors
/// EEXIST where the key or the identifier is taken.
pub fn make_message_list<'a>(
    new: &NewIpc,
    max_bytes: u64,
    messages: impl Iterator<Item = (i64, &'a [u8])>,
) -> Result<()> {
    let fail = |e: io::Error| Error::new(format!("make the message queue {}", new.id), e);
    std::fs::write("/proc/sys/kernel/msg_next_id", new.id.to_string()).map_err(fail)?;
    call_as(&new.maker(), Call::Messages(new))?;
    let id = new.id;
    let set = |room: u64| {
        // SAFETY: an all-zero msqid_ds is valid.
        let mut about: libc::msqid_ds = unsafe { std::mem::zeroed() };
        (about.msg_perm.uid, about.msg_perm.gid) = (new.owner[0], new.owner[1]);
        (about.msg_perm.mode, about.msg_qbytes) = (new.mode as _, room);
        // SAFETY: the kernel reads a live local.
        let set = unsafe { libc::msgctl(id as i32, libc::IPC_SET, &raw mut about) };
        check(set.into()).map(drop).map_err(fail)
    };
    let messages: Vec<_> = messages.collect();
    // It may hold more than it takes by now; as many messages without a byte as bytes.
    let held: u64 = messages.iter().map(|(_, text)| text.len().max(1) as u64).sum();
    set(max_bytes.max(held))?;
    for (kind, text) in messages {
        let mut buffer = vec![kind.cast_unsigned()];
        buffer.resize(1 + text.len().div_ceil(8), 0);
        for (word, bytes) in buffer[1..].iter_mut().zip(text.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        // SAFETY: behind the type the buffer has as many bytes as the text.
        let sent = unsafe {
            libc::msgsnd(id as i32, buffer.as_ptr().cast(), text.len(), libc::IPC_NOWAIT)
        };
        check(sent.into()).map_err(fail)?;
    }
    set(max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;

    #[test]
    fn a_set_and_a_queue_are_made_as_they_were() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let id = 3 * 32768 + std::process::id() % 30000;
        let new = NewIpc { key: 0, id, mode: 0o640, owner: [5, 6], creator: [1000, 1001] };
        make_semaphores(&new, &[3, 0, 32767]).unwrap();
        let (values, pids) = semaphore_values(id, 3).unwrap();
        // SAFETY: numbers only.
        unsafe { libc::semctl(id as i32, 0, libc::IPC_RMID) };
        assert_eq!((values, pids), (vec![3, 0, 32767], vec![std::process::id(); 3]));

        let sent: [(i64, &[u8]); 3] = [(7, b"hello"), (1 << 40, b""), (2, &[9; 8])];
        make_message_list(&new, 100, sent.into_iter()).unwrap();
        let room = message_list_room(id).unwrap();
        let read = [messages(id, 8192).unwrap(), messages(id, 8192).unwrap()];
        // SAFETY: numbers only.
        unsafe { libc::msgctl(id as i32, libc::IPC_RMID, std::ptr::null_mut()) };
        assert_eq!(room, 100);
        for read in read {
            let read: Vec<_> = read.iter().map(|(kind, text)| (*kind, text.as_slice())).collect();
            assert_eq!(read, sent);
        }
    }
}
