//! Contexts of asynchronous I/O.
//!
//! A ring is moved to where it was; the kernel goes along (aio_ring_mremap of fs/aio.c), and knows the context by that address. Where
//! it puts the next event it keeps to itself: requests that do nothing, and end at once, bring it there. The events of those that
//! are not collected stand for the ones that waited, and get their content.

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::{Arg, Slot};
use floe_plan::Phase;
use floe_records::{AIO_EVENT, Aio, AioContext, Pid, Vma};
use floe_sys::{Error, Result};

/// Requests of one call. The smallest ring has room for more.
const SOME: u32 = 64;
/// `struct iocb` of include/uapi/linux/aio_abi.h. All zeros: read nothing from descriptor 0.
const REQUEST: usize = 64;
/// MREMAP_MAYMOVE | MREMAP_FIXED.
const MOVE: u64 = 3;
/// PROT_READ | PROT_WRITE, which a ring is mapped with.
const PROT: u8 = 3;

impl ForProcess for Aio {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, b: &mut Script<'_>) -> Result<()> {
        let contexts = context.tree.get::<Aio>(pid).map_or(&[][..], |aio| &aio.contexts);
        if contexts.is_empty() {
            return Ok(());
        }
        let name = b.bytes(b"\0");
        let file = b.call(libc::SYS_memfd_create, [name.into(), Arg::Val(0)]);
        // What restore has there is closed before the process gets its own.
        b.call(libc::SYS_dup2, [file.into(), Arg::Val(0)]);
        for one in contexts {
            let vma = floe_plan::vma_at(context.tree, pid, one.at);
            let vma = vma.ok_or_else(|| failed("it is not mapped"))?;
            make(pid, vma, one, b)?;
        }
        Ok(())
    }
}

fn failed(why: impl Into<String>) -> Error {
    Error::because("make a context of asynchronous I/O", why)
}

/// What the calls work on.
struct Requests {
    /// Pointers to one and the same request.
    pointers: Slot,
    events: Slot,
    no_time: Slot,
}

impl Requests {
    fn new(b: &mut Script<'_>) -> Self {
        let request = b.bytes(&[0; REQUEST]);
        let pointers = b.words(&[0; SOME as usize]);
        (0..SOME as usize).for_each(|n| b.pointer(pointers, 8 * n, request));
        let events = b.bytes(&[0; (SOME as u64 * AIO_EVENT) as usize]);
        Self { pointers, events, no_time: b.bytes(&[0; 16]) }
    }

    /// Has as many end, and collects their events or leaves them.
    fn run(&self, at: u64, mut count: u32, collects: bool, b: &mut Script<'_>) {
        while count > 0 {
            let some = count.min(SOME);
            let (context, number) = (Arg::Val(at), Arg::from(u64::from(some)));
            b.call(libc::SYS_io_submit, [context, number, self.pointers.into()]);
            if collects {
                let (events, time) = (self.events.into(), self.no_time.into());
                b.call(libc::SYS_io_getevents, [context, number, number, events, time]);
            }
            count -= some;
        }
    }
}

fn make(pid: Pid, vma: &Vma, context: &AioContext, b: &mut Script<'_>) -> Result<()> {
    let (at, len) = (context.at.0, vma.end.0.saturating_sub(vma.start.0));
    // The kernel makes twice as many and two more, and as many more as there is room for in the last page.
    let id = b.bytes(&[0; 8]);
    b.call(libc::SYS_io_setup, [u64::from(context.nr / 2).saturating_sub(1).into(), id.into()]);
    let none = || failed("its stub did not say where it is");
    let replies = b.run()?.ok_or_else(none)?;
    let made = replies.bytes(id).try_into().map(u64::from_ne_bytes).map_err(|_| none())?;
    let (nr, ..) = header(pid, made)?;
    if nr != context.nr {
        let why = format!("this machine makes one of {nr} events where {} were", context.nr);
        return Err(failed(why).pid(pid.0));
    }
    // What keeps the place free goes.
    b.call(libc::SYS_mremap, [made, len, len, MOVE, at].map(Arg::Val));
    let requests = Requests::new(b);
    requests.run(at, context.head, true, b);
    requests.run(at, context.waiting(), false, b);
    b.run()?;
    let ahead = (context.nr - context.head).min(context.waiting());
    let (ahead, behind) = context.events.0.split_at(ahead as usize * AIO_EVENT as usize);
    let first = at + AIO_EVENT;
    let start = first + u64::from(context.head) * AIO_EVENT;
    for (at, events) in [(start, ahead), (first, behind)] {
        floe_sys::write_memory(pid.0 as i32, at, events)?;
    }
    let (_, head, tail) = header(pid, at)?;
    if (head, tail) != (context.head, context.tail) {
        let why = format!(
            "its events are {head} to {tail}, and were {} to {}",
            context.head, context.tail
        );
        return Err(failed(why).pid(pid.0));
    }
    if vma.prot != PROT {
        b.call(libc::SYS_mprotect, [at, len, u64::from(vma.prot)].map(Arg::Val));
    }
    Ok(())
}

/// Events that a ring has room for, the first that waits, and where the next one comes.
fn header(pid: Pid, at: u64) -> Result<(u32, u32, u32)> {
    let mut words = [0; 16];
    floe_sys::read_memory(pid.0 as i32, at, &mut words)?;
    let word = |n: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| words[4 * n + byte]));
    Ok((word(1), word(2), word(3)))
}
