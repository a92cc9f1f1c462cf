//! Bulk of one source and one kind, on its way into the stream, or into memory for a moment.

use anyhow::Result;
use floe_capture::memory::{Gather, MemFile, Source};
use floe_records::{ObjectData, ObjectId, Pages, ParentPages, Pid, Ranges, Record};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Progress, ZeroCopyWriter};
use std::{fs::File, ops::Range};

/// Bytes of a buffer of what is held.
const BUFFER: usize = 256 << 10;

/// What a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Pages for the parent of a process, which it inherits.
    Parent(Pid),
    /// Content of a nameless file.
    Object(ObjectId),
    /// Pages of a process.
    Own(Pid),
    /// By which bytes pages differ from inherited ones.
    Differences,
}

/// Where it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In the tree, which must stand still for it.
    Tree(Pid),
    /// In a copy of a process.
    Copy(Pid),
    /// In the file that it is the content of, of a tree that stands still.
    File,
}

/// Some bulk.
#[derive(Debug)]
pub struct Piece {
    pub what: What,
    pub origin: Origin,
    /// Ranges of memory, or of the file.
    pub runs: Vec<Range<u64>>,
}

impl Piece {
    /// Whether the tree must stand still for it.
    pub fn is_of_tree(&self) -> bool {
        !matches!(self.origin, Origin::Copy(_))
    }

    /// Reads it; `file` is the one that it is the content of.
    pub fn send(self, file: Option<&File>, sink: &mut impl Sink) -> Result<()> {
        let Self { what, origin, runs } = self;
        match (what, origin, file) {
            (What::Parent(pid), Origin::Tree(from) | Origin::Copy(from), _) => {
                let memory = MemFile::open(from)?;
                send(sink, Gather::new(&memory, runs), |ranges| ParentPages { pid, ranges })
            }
            (What::Own(pid), Origin::Copy(from), _) => {
                // What reads faster would have each of its pages copied first.
                let memory = MemFile::open(from)?;
                send(sink, Gather::new(&memory, runs), |ranges| Pages { pid, ranges })
            }
            (What::Own(pid), Origin::Tree(from), _) => {
                send(sink, Gather::new(from, runs), |ranges| Pages { pid, ranges })
            }
            (What::Object(id), _, Some(file)) => {
                send(sink, Gather::new(file, runs), |ranges| ObjectData { id, ranges })
            }
            // Differences are no runs of one source.
            _ => Ok(()),
        }
    }
}

/// Where bulk goes.
pub trait Sink {
    /// A buffer to fill.
    fn buffer(&mut self) -> &mut [u8];

    /// Takes a record with as many bytes of the buffer; `read` were read for it.
    fn put<R: Record>(&mut self, record: Option<&R>, len: usize, read: u64) -> Result<()>;

    /// Takes a record with these bytes.
    fn put_bytes<R: Record>(&mut self, record: &R, bytes: &[u8]) -> Result<()>;
}

/// Records of ranges of a source, with their bytes.
fn send<const ALIGN: u64, R: Record>(
    sink: &mut impl Sink,
    mut gather: Gather<impl Source>,
    record: impl Fn(Ranges<ALIGN>) -> R,
) -> Result<()> {
    loop {
        let (ranges, read) = gather.fill(sink.buffer())?;
        if ranges.is_empty() {
            return sink.put::<R>(None, 0, read);
        }
        let len = ranges.bytes() as usize;
        sink.put(Some(&record(ranges)), len, read)?;
    }
}

/// The stream itself.
pub struct Stream<'a> {
    pub out: &'a mut Out,
    pub writer: &'a mut ZeroCopyWriter,
    pub progress: &'a mut Progress,
}

impl Sink for Stream<'_> {
    fn buffer(&mut self) -> &mut [u8] {
        self.writer.buffer()
    }

    fn put<R: Record>(&mut self, record: Option<&R>, len: usize, read: u64) -> Result<()> {
        self.progress.add(read);
        let Some(record) = record else { return Ok(()) };
        self.out.record(record)?;
        self.writer.bulk(self.out, 0..len)?;
        Ok(())
    }

    fn put_bytes<R: Record>(&mut self, record: &R, bytes: &[u8]) -> Result<()> {
        self.out.record(record)?;
        Ok(self.out.bulk(bytes)?)
    }
}

/// What is read at once, and sent when the tree runs.
pub struct Held {
    records: Vec<(RawRecord, Vec<u8>)>,
    buffer: Vec<u8>,
    read: u64,
}

impl Held {
    /// Nothing yet. The buffer may be that of another one, or empty.
    pub fn by(mut buffer: Vec<u8>) -> Self {
        buffer.resize(BUFFER, 0);
        Self { records: Vec::new(), buffer, read: 0 }
    }

    /// Takes its buffer, for another one.
    pub fn buffer_of(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Sends it.
    pub fn send(self, stream: &mut Stream<'_>) -> Result<()> {
        stream.progress.add(self.read);
        for (record, bytes) in self.records {
            stream.out.raw(&record)?;
            stream.out.bulk(&bytes)?;
        }
        Ok(())
    }
}

impl Sink for Held {
    fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    fn put<R: Record>(&mut self, record: Option<&R>, len: usize, read: u64) -> Result<()> {
        self.read += read;
        let Some(record) = record else { return Ok(()) };
        self.records.push((RawRecord::encode(record)?, self.buffer[..len].to_vec()));
        Ok(())
    }

    fn put_bytes<R: Record>(&mut self, record: &R, bytes: &[u8]) -> Result<()> {
        self.records.push((RawRecord::encode(record)?, bytes.to_vec()));
        Ok(())
    }
}
