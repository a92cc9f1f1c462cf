//! Asking a held process what only it can tell: one session for all of its resources and all of its threads.

use crate::{
    Result,
    resource::{ProcessAsked, ThreadAsked},
    subject::{Process, Thread},
};
use floe_parasite::{Batch, Guest, PtraceRunner, Replies, Room, Runner};
use floe_records::AnyRecord;
use floe_tracee::{RemoteCall, Scratch, Visit};

/// Least memory that is mapped for questions and answers.
const LEAST: usize = 16 << 10;

/// Takes everything that a process and its threads have, into `out`.
pub(crate) fn ask(process: &Process<'_>, out: &mut Vec<AnyRecord>) -> Result<()> {
    let mut threads = Vec::with_capacity(process.threads.len());
    for tracee in process.threads {
        threads.push(Thread::read(process.pid, tracee.tid() as u32, Some(tracee))?);
    }
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
    asked.take(process, &replies[0], out)?;
    for ((thread, asked), replies) in threads.iter().zip(by_thread).zip(&replies) {
        asked.take(thread, replies, out)?;
    }
    Ok(())
}

/// Runs a batch in each thread; what was borrowed is given back also when a question failed.
fn run(process: &Process<'_>, batches: &[Batch]) -> Result<Vec<Replies>> {
    let longest = batches.iter().map(Batch::data_len).max().unwrap_or(0);
    let scratch = longest.max(LEAST).next_multiple_of(4096);
    let mut visit = Visit::begin(process.leader()?, scratch, &Room::NEED)?;
    let replies = run_all(process, &mut visit, batches);
    visit.end()?;
    Ok(replies?)
}

fn run_all(
    process: &Process<'_>,
    visit: &mut Visit,
    batches: &[Batch],
) -> floe_sys::Result<Vec<Replies>> {
    let caught = process.status.hex("SigCgt");
    let (scratch, room) = (visit.scratch(), visit.more().map(Room::at));
    room.map(|room| room.fill(process.pid as i32)).transpose()?;
    // Thousands of timers do not fit.
    let room = room.filter(|_| scratch.len <= Room::DATA);
    let mut replies = vec![runner(visit.leader(), scratch, room, caught).run(&batches[0])?];
    for (tracee, batch) in process.threads[1..].iter().zip(&batches[1..]) {
        let ask = |thread: &mut _| runner(thread, scratch, room, caught).run(batch);
        replies.push(visit.thread(tracee, ask)?);
    }
    Ok(replies)
}

/// The fastest runner that a thread does not notice.
fn runner<'a>(
    thread: &'a mut RemoteCall,
    scratch: Scratch,
    room: Option<Room>,
    caught: u64,
) -> Box<dyn Runner + 'a> {
    match room.zip(Guest::signal(thread, caught)) {
        Some((room, signal)) => Box::new(Guest::new(thread, room, signal)),
        None => Box::new(PtraceRunner::within(thread, scratch)),
    }
}
