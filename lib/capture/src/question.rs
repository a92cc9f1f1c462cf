//! Asking a held process what only it can tell: one session for all of its resources and all of its threads.

use crate::{
    Result,
    resource::{ProcessAsked, ThreadAsked},
    subject::Process,
};
use floe_parasite::{Batch, InjectedRunner, PayloadLayout, PtraceRunner, Replies, Runner};
use floe_records::{AnyRecord, Findings};
use floe_tracee::{RemoteCall, RemoteSession, Scratch};

/// Memory that is mapped for questions and answers where they are asked call by call; longer batches run in pieces.
const SCRATCH: usize = 16 << 10;

/// Takes everything that a process and its threads have, into `out`; `found` gets what is lost of it.
pub(crate) fn ask(
    process: &Process<'_>,
    out: &mut Vec<AnyRecord>,
    found: &mut Findings,
) -> Result<()> {
    let threads = &process.tasks;
    // The leader is asked for its process and for itself at once.
    let mut batch = Batch::new();
    let asked = ProcessAsked::of(process, &mut batch)?;
    let mut batches = vec![batch];
    let mut by_thread = Vec::with_capacity(threads.len());
    for (at, thread) in threads.iter().enumerate() {
        if at > 0 {
            batches.push(Batch::new());
        }
        by_thread.push(ThreadAsked::of(thread, &mut batches[at]));
    }
    let replies = run(process, &batches)?;
    asked.take(process, &replies[0], out, found)?;
    for ((thread, asked), replies) in threads.iter().zip(by_thread).zip(&replies) {
        asked.take(thread, replies, out)?;
    }
    Ok(())
}

/// Runs a batch in each thread; what was borrowed is given back also when a question failed.
pub(crate) fn run(process: &Process<'_>, batches: &[Batch]) -> Result<Vec<Replies>> {
    let (leader, mappings) = (process.leader()?, process.layout.mappings());
    let extra = &PayloadLayout::MAPPINGS;
    let mut session = RemoteSession::begin_among(leader, &mappings, SCRATCH, extra)?;
    let replies = run_all(process, &mut session, batches);
    let ended = session.end();
    // Of two failures, the first tells what went wrong.
    let replies = replies?;
    ended?;
    Ok(replies)
}

fn run_all(
    process: &Process<'_>,
    session: &mut RemoteSession,
    batches: &[Batch],
) -> floe_sys::Result<Vec<Replies>> {
    let caught = process.status.hex("SigCgt")?;
    let (scratch, layout) = (session.scratch(), session.extra().map(PayloadLayout::at));
    layout.map(|layout| layout.fill_by(|at, code| session.write(at, code))).transpose()?;
    let mut replies = vec![runner(session.leader(), scratch, layout, caught).run(&batches[0])?];
    for (tracee, batch) in process.threads[1..].iter().zip(&batches[1..]) {
        let ask = |thread: &mut _| runner(thread, scratch, layout, caught).run(batch);
        replies.push(session.thread(tracee, ask)?);
    }
    Ok(replies)
}

/// The fastest runner that a thread does not notice.
fn runner<'a>(
    thread: &'a mut RemoteCall,
    scratch: Scratch,
    layout: Option<PayloadLayout>,
    caught: u64,
) -> Box<dyn Runner + 'a> {
    match layout.zip(InjectedRunner::signal(thread, caught)) {
        Some((layout, signal)) => Box::new(InjectedRunner::new(thread, layout, signal)),
        None => Box::new(PtraceRunner::within(thread, scratch)),
    }
}
