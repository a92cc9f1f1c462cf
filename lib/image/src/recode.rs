//! Bulk out of frames and into others, by a thread for each core, while the order of the stream stays.

use crate::{
    Result,
    frame::{Compression, Frame, encoded},
    turns::Turns,
};
use floe_records::MAX_CONTENT;
use floe_stream::{Item, RawRecord, Reader, Source};
use floe_worker_pool::{Stopped, WorkerPool};
use std::thread;

/// Most threads, each with a frame of [`MAX_CONTENT`], and buffers of that size between them and the reader.
const WORKERS: usize = 16;
const BUFFERS: usize = 4;
/// What is in no frame and goes into none passes in pieces of this.
const PIECE: usize = 256 << 10;

/// What takes the items.
pub(crate) trait Sink: Send {
    /// A record.
    fn record(&mut self, record: RawRecord) -> Result<()>;

    /// A bulk string of this many bytes begins.
    fn bulk_head(&mut self, len: u64) -> Result<()>;

    /// The next piece of it.
    fn bulk_part(&mut self, bytes: &[u8]) -> Result<()>;
}

/// A bulk string and its record, as they are read.
struct Job {
    turn: u64,
    record: RawRecord,
    /// The bulk string is a frame of this.
    frame: Option<Frame>,
}

/// Passes on all that comes from `next` on, up to the end of the stream: without frames, or with frames of one sort.
///
/// # Errors
/// Those of both sides.
pub(crate) fn recode<R: Source, S: Sink>(
    reader: &mut Reader<R>,
    next: Option<RawRecord>,
    how: Option<Compression>,
    sink: &mut S,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    // Without bulk the stream has ended.
    if next.is_none() {
        return Ok(());
    }
    let turns = Turns::new(sink);
    let work = |job: Job, bytes: &[u8]| {
        let done = job.done(bytes, how, &turns);
        if done.is_err() {
            turns.fail();
        }
        done
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    let (buffers, size) = (workers + BUFFERS, MAX_CONTENT as usize);
    floe_worker_pool::run(workers, buffers, size, work, |pool| {
        let feed = Feed { pool, turns: &turns, turn: 0, waiting: None, buffer: Vec::new() };
        feed.all(reader, next, how.is_some(), tick)
    })
}

impl Job {
    fn done<S: Sink>(
        self,
        bytes: &[u8],
        how: Option<Compression>,
        turns: &Turns<'_, S>,
    ) -> Result<()> {
        let Self { turn, record, frame } = self;
        match frame {
            Some(frame) => frame.open(bytes, |content| put(turn, record, content, how, turns)),
            None => put(turn, record, bytes, how, turns),
        }
    }
}

/// Hands on a record with its content when it is its turn.
fn put<S: Sink>(
    turn: u64,
    record: RawRecord,
    content: &[u8],
    how: Option<Compression>,
    turns: &Turns<'_, S>,
) -> Result<()> {
    let put = |record: RawRecord, bytes: &[u8]| {
        let done = turns.take(turn, |sink| {
            sink.record(record)?;
            sink.bulk_head(bytes.len() as u64)?;
            sink.bulk_part(bytes)
        });
        // The one that has failed says so.
        done.map(|_| ())
    };
    match how {
        Some(how) => encoded(&record.clone(), content, how, |both| match both {
            Some((outer, frame)) => put(outer, frame),
            None => put(record, content),
        }),
        None => put(record, content),
    }
}

/// The thread that reads.
struct Feed<'a, 'p, 't, S: Sink> {
    pool: &'a WorkerPool<'p, Job>,
    turns: &'a Turns<'t, S>,
    turn: u64,
    /// A record that goes on with its bulk string.
    waiting: Option<RawRecord>,
    buffer: Vec<u8>,
}

impl<S: Sink> Feed<'_, '_, '_, S> {
    fn all<R: Source>(
        mut self,
        reader: &mut Reader<R>,
        next: Option<RawRecord>,
        compress: bool,
        tick: &mut dyn FnMut(u64),
    ) -> Result<()> {
        self.waiting = next;
        loop {
            match reader.next()? {
                Item::Record(record) => {
                    self.settle()?;
                    self.waiting = Some(record);
                }
                Item::Bulk(len) => {
                    tick(len);
                    self.bulk(reader, len, compress)?;
                }
                Item::End => return self.settle(),
            }
        }
    }

    /// Something of our own, when all before it has gone on.
    fn own(&mut self, work: impl FnOnce(&mut S) -> Result<()>) -> Result<()> {
        self.turn += 1;
        if self.turns.take(self.turn - 1, work)? { Ok(()) } else { Err(Stopped.into()) }
    }

    /// A record that has no bulk.
    fn settle(&mut self) -> Result<()> {
        match self.waiting.take() {
            Some(record) => self.own(|sink| sink.record(record)),
            None => Ok(()),
        }
    }

    fn bulk<R: Source>(&mut self, reader: &mut Reader<R>, len: u64, compress: bool) -> Result<()> {
        // Of several bulk strings of a record those behind the first one go on as they are.
        if let Some(record) = self.waiting.take() {
            let (record, frame) = match Frame::of(&record)? {
                Some((record, frame)) => (record, Some(frame)),
                None => (record, None),
            };
            if let Some(frame) = &frame {
                frame.check_len(len)?;
            }
            if frame.is_some() || compress && len <= MAX_CONTENT {
                let mut buffer = self.pool.buffer()?;
                reader.read_bulk(&mut buffer[..len as usize])?;
                self.turn += 1;
                let job = Job { turn: self.turn - 1, record, frame };
                return Ok(self.pool.give(job, buffer, len as usize)?);
            }
            self.own(|sink| sink.record(record))?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE, 0);
        let passed = self.own(|sink| {
            sink.bulk_head(len)?;
            let mut left = len;
            while left > 0 {
                let piece = &mut buffer[..left.min(PIECE as u64) as usize];
                reader.read_bulk(piece)?;
                sink.bulk_part(piece)?;
                left -= piece.len() as u64;
            }
            Ok(())
        });
        self.buffer = buffer;
        passed
    }
}
