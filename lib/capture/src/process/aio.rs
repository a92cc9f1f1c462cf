//! Contexts of asynchronous I/O: the rings that are mapped.
//!
//! Nothing tells whether requests are in flight. What a disk does goes on while the tree stands still, so rings are watched until
//! nothing comes any more.

use crate::{Error, Result, resource::OfProcess, subject::Process};
use floe_parasite::{Arg, Batch, Call, Replies};
use floe_records::{AIO_EVENT, Addr, Aio, AioContext, Finding, Findings, Pid, Vma, VmaKind};
use std::time::{Duration, Instant};

/// AIO_RING_MAGIC of fs/aio.c.
const MAGIC: u32 = 0xa10a_10a1;
/// How long nothing must come.
const QUIET: Duration = Duration::from_millis(20);
/// How long it may go on all the same.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

impl OfProcess for Aio {
    /// Of each ring, whether it is one of this process.
    type Asked = Vec<Call>;

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        if rings(process).next().is_some() {
            let problem = "requests that do not end while the checkpoint waits are not carried";
            let finding = Finding::of(Pid(process.pid), "asynchronous I/O", "aio.flight", problem);
            out.lose(finding);
        }
        Ok(())
    }

    fn ask(process: &Process<'_>, batch: &mut Batch) -> Result<Vec<Call>> {
        // No event is asked for: the kernel says no more than whether it knows the context.
        let mut ask = |vma: &Vma| {
            let none = Arg::Val(0);
            batch.try_call(libc::SYS_io_getevents, [Arg::Val(vma.start.0), none, none, none, none])
        };
        Ok(rings(process).map(&mut ask).collect())
    }

    fn take(process: &Process<'_>, asked: Vec<Call>, replies: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        if process.shares.memory != Pid(pid) {
            // They are in the record of the process that it has its memory from.
            return Ok(vec![Aio { pid: Pid(pid), contexts: Vec::new() }]);
        }
        for (vma, call) in rings(process).zip(asked) {
            if replies.errno(call).is_some() {
                let problem = "it is the ring of another process, which has made this one since";
                let finding = Finding::of(Pid(pid), object(vma), "aio.parent", problem);
                return Err(Error::refuse(finding.hint("have the program unmap it first")));
            }
        }
        let (mut moved, begin) = (Instant::now(), Instant::now());
        let mut seen = all(process)?;
        while !seen.is_empty() && moved.elapsed() < QUIET && begin.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
            let now = all(process)?;
            if now != seen {
                (moved, seen) = (Instant::now(), now);
            }
        }
        Ok(vec![Aio { pid: Pid(pid), contexts: seen }])
    }
}

fn rings<'a>(process: &'a Process<'_>) -> impl Iterator<Item = &'a Vma> {
    process.layout.vmas.iter().filter(|vma| vma.kind == VmaKind::Aio)
}

fn object(vma: &Vma) -> String {
    format!("{:x}-{:x} [aio]", vma.start.0, vma.end.0)
}

fn all(process: &Process<'_>) -> Result<Vec<AioContext>> {
    rings(process).map(|vma| Ok(context(process.pid, vma)?)).collect()
}

/// Reads a ring.
fn context(pid: u32, vma: &Vma) -> floe_sys::Result<AioContext> {
    let mut ring = vec![0; (vma.end.0 - vma.start.0) as usize];
    floe_sys::read_memory(pid as i32, vma.start.0, &mut ring)?;
    let bad = || floe_sys::Error::because("read a ring of asynchronous I/O", "it is none");
    parse(vma.start, &ring).ok_or_else(|| bad().pid(pid))
}

/// `struct aio_ring` of fs/aio.c.
fn parse(at: Addr, ring: &[u8]) -> Option<AioContext> {
    let word = |n: usize| ring.get(4 * n..4 * n + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let [nr, head, tail, magic, header] = [word(1)?, word(2)?, word(3)?, word(4)?, word(7)?];
    if magic != MAGIC || u64::from(header) != AIO_EVENT || nr == 0 || tail >= nr {
        return None;
    }
    // The program sets it as well, and the kernel takes it so.
    let mut context = AioContext { at, nr, head: head % nr, tail, events: Vec::new().into() };
    for n in 0..context.waiting() {
        let slot = 1 + u64::from((context.head + n) % nr);
        let start = (slot * AIO_EVENT) as usize;
        context.events.0.extend(ring.get(start..start + AIO_EVENT as usize)?);
    }
    Some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(nr: u32, head: u32, tail: u32) -> Vec<u8> {
        let words = [0, nr, head, tail, MAGIC, 1, 0, 32];
        let mut ring: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        (0..nr as u8).for_each(|n| ring.extend([n; 32]));
        ring
    }

    #[test]
    fn events_are_read_around_the_end() {
        let context = parse(Addr(0x1000), &ring(9, 7, 2)).unwrap();
        let first: Vec<u8> = context.events.0.chunks(32).map(|event| event[0]).collect();
        assert_eq!(first, [7, 8, 0, 1]);
        assert_eq!(parse(Addr(0), &ring(9, 4, 4)).unwrap().events.0, []);
        assert_eq!(parse(Addr(0), &ring(9, 13, 4)).unwrap().head, 4);
        assert!(parse(Addr(0), &ring(9, 1, 9)).is_none() && parse(Addr(0), &[0; 4096]).is_none());
    }
}
