//! What only the task itself can tell: asked by batches of system calls that it runs for us.

use floe_parasite::{Batch, Call, Replies, Runner, Slot};
use floe_sys::Result;

const PR_GET_TID_ADDRESS: i32 = 40;
const PR_GET_THP_DISABLE: i32 = 42;

/// Answers of a process.
pub(crate) struct ProcessAnswers {
    /// By signal: `struct sigaction` of the kernel (handler, flags, restorer, mask).
    pub actions: Vec<(u32, [u64; 4])>,
    /// Seconds and microseconds of interval and value.
    pub itimers: [[u64; 4]; 3],
    /// By timer id: seconds and nanoseconds of interval and value; overrun.
    pub timers: Vec<(u32, [u64; 4], i32)>,
    pub dumpable: u32,
    pub child_subreaper: bool,
    pub thp_disabled: bool,
    pub brk: u64,
}

/// Answers of a thread.
#[derive(Default)]
pub(crate) struct ThreadAnswers {
    pub altstack: (u64, u32, u64),
    pub clear_child_tid: u64,
    pub pdeath_signal: u32,
    pub securebits: u32,
}

fn words<const N: usize>(replies: &Replies, slot: Slot) -> [u64; N] {
    let chunks = replies.bytes(slot).as_chunks::<8>().0;
    let mut out = [0; N];
    out.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
    out
}

/// A prctl whose answer is written to memory.
fn prctl_out(batch: &mut Batch, option: i32) -> Slot {
    let slot = batch.zeroed(8);
    batch.call(libc::SYS_prctl, [option.into(), slot.into(), 0.into(), 0.into(), 0.into()]);
    slot
}

/// A prctl whose answer is its result.
fn prctl(batch: &mut Batch, option: i32) -> Call {
    batch.call(libc::SYS_prctl, [option.into(), 0.into(), 0.into(), 0.into(), 0.into()])
}

/// Asks a process, by way of its leader, and the leader itself.
pub(crate) fn leader(
    leader: &mut dyn Runner,
    timer_ids: &[u32],
) -> Result<(ProcessAnswers, ThreadAnswers)> {
    Ok((process(leader, timer_ids)?, thread(leader)?))
}

fn process(leader: &mut dyn Runner, timer_ids: &[u32]) -> Result<ProcessAnswers> {
    let mut batch = Batch::new();
    let b = &mut batch;
    let asked = (1..=64).filter(|&s| s != libc::SIGKILL as u32 && s != libc::SIGSTOP as u32);
    let action = |b: &mut Batch, signal: u32| {
        let slot = b.zeroed(32);
        let args = [u64::from(signal).into(), 0.into(), slot.into(), 8.into()];
        b.call(libc::SYS_rt_sigaction, args);
        (signal, slot)
    };
    let actions: Vec<_> = asked.map(|signal| action(b, signal)).collect();
    let itimers = [0, 1, 2].map(|which| {
        let slot = b.zeroed(32);
        b.call(libc::SYS_getitimer, [which.into(), slot.into()]);
        slot
    });
    let timer = |b: &mut Batch, id: u32| {
        let slot = b.zeroed(32);
        b.call(libc::SYS_timer_gettime, [u64::from(id).into(), slot.into()]);
        (id, slot, b.call(libc::SYS_timer_getoverrun, [u64::from(id).into()]))
    };
    let timers: Vec<_> = timer_ids.iter().map(|&id| timer(b, id)).collect();
    let dumpable = prctl(b, libc::PR_GET_DUMPABLE);
    let subreaper = prctl_out(b, libc::PR_GET_CHILD_SUBREAPER);
    let thp = prctl(b, PR_GET_THP_DISABLE);
    let brk = b.call(libc::SYS_brk, [0.into()]);

    let r = leader.run(&batch)?;
    let timer = |(id, slot, overrun)| Ok((id, words(&r, slot), r.value(overrun)? as i32));
    Ok(ProcessAnswers {
        actions: actions.into_iter().map(|(signal, slot)| (signal, words(&r, slot))).collect(),
        itimers: itimers.map(|slot| words(&r, slot)),
        timers: timers.into_iter().map(timer).collect::<Result<_>>()?,
        dumpable: r.value(dumpable)? as u32,
        child_subreaper: words::<1>(&r, subreaper) != [0],
        thp_disabled: r.value(thp)? != 0,
        brk: r.value(brk)?,
    })
}

/// Asks a thread.
pub(crate) fn thread(thread: &mut dyn Runner) -> Result<ThreadAnswers> {
    let mut batch = Batch::new();
    let b = &mut batch;
    let stack = b.zeroed(24);
    b.call(libc::SYS_sigaltstack, [0.into(), stack.into()]);
    let tid_address = prctl_out(b, PR_GET_TID_ADDRESS);
    let pdeath = prctl_out(b, libc::PR_GET_PDEATHSIG);
    let securebits = prctl(b, libc::PR_GET_SECUREBITS);
    let r = thread.run(&batch)?;
    let [sp, flags, size] = words(&r, stack);
    // SS_ONSTACK only tells where the stack pointer is right now.
    let flags = flags as u32 & !(libc::SS_ONSTACK as u32);
    Ok(ThreadAnswers {
        altstack: (sp, flags, size),
        clear_child_tid: words::<1>(&r, tid_address)[0],
        pdeath_signal: words::<1>(&r, pdeath)[0] as u32,
        securebits: r.value(securebits)? as u32,
    })
}
