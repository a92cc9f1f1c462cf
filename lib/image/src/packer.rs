//! The bulk part of an image while it is written, with what the index will say of it.

use crate::{
    Error, Meta, Result,
    layout::{BULK_HEAD, Entry, index, index_at, pad},
    recode::Sink,
};
use floe_records::{Bytes, is_bulk};
use floe_stream::{RawRecord, Reader, Source, Writer};
use floe_worker_pool::WorkerPool;
use std::{
    fs::File,
    hash::Hasher,
    io::{self, Write},
    os::unix::fs::FileExt,
};
use twox_hash::XxHash3_64;

/// Bulk passes in pieces of this.
pub(crate) const PIECE: usize = 256 << 10;
/// A piece stands in its buffer as the pages it comes from: between places of unlike offsets in their pages copying is slower.
const PAGE: usize = 4096;
/// Most of what is written together with a piece that it stands before.
const ROOM: usize = 64 << 10;
/// Bytes of the buffers of [`Packer::bulk_by`].
pub(crate) const BUFFER: usize = PAGE + ROOM + PIECE;

/// What a writer is to do with a buffer.
pub(crate) struct Put {
    /// Where it belongs in the file.
    pub offset: u64,
    /// Where it begins in the buffer.
    pub start: usize,
}

/// What stands between two bulk strings, until it is written together with the next one: two threads that write
/// wait for each other.
#[derive(Default)]
pub(crate) struct Ahead {
    offset: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    /// Where it belongs, and what it is.
    pub fn take(&mut self) -> (u64, Vec<u8>) {
        let offset = self.offset;
        self.offset += self.bytes.len() as u64;
        (offset, std::mem::take(&mut self.bytes))
    }
}

impl Write for Ahead {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Calls `work` for pieces of `buffer` and their offsets until they add up to `len`.
pub(crate) fn pieces(
    len: u64,
    buffer: &mut [u8],
    mut work: impl FnMut(&mut [u8], u64) -> Result<()>,
) -> Result<()> {
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(buffer.len() as u64) as usize;
        work(&mut buffer[..piece], done)?;
        done += piece as u64;
    }
    Ok(())
}

/// The bulk part of an image while it is written.
pub(crate) struct Packer<'a, W: Write> {
    out: &'a mut Writer<W>,
    pub entries: Vec<Entry>,
    /// Held back until it is known whether bulk follows, which a filler goes before.
    pending: Option<RawRecord>,
    /// Metadata that has come behind bulk: it belongs in front.
    pub late: Vec<Meta>,
    /// The last record is one of these.
    pub in_late: bool,
    buffer: Vec<u8>,
}

impl<'a, W: Write + Send> Packer<'a, W> {
    /// Writes all metadata in ascending kind, and the Seal.
    pub fn new(out: &'a mut Writer<W>, metadata: &mut [Meta]) -> Result<Self> {
        metadata.sort_by_key(|meta| meta.record.kind);
        for meta in metadata {
            out.raw(&meta.record)?;
            for bulk in &meta.bulk {
                out.bulk(bulk)?;
            }
        }
        out.seal()?;
        let (entries, late) = (Vec::new(), Vec::new());
        Ok(Self { out, entries, pending: None, late, in_late: false, buffer: vec![0; PIECE] })
    }

    fn settle(&mut self) -> Result<()> {
        if let Some(record) = self.pending.take() {
            self.out.raw(&record)?;
        }
        Ok(())
    }

    /// A filler, if needed, the record, and the head of its bulk; gives the offset of the content.
    fn head(&mut self, len: u64) -> Result<u64> {
        if let Some(record) = &self.pending
            && let Some(pad) = pad(self.out.offset(), record.bytes.len(), len)
        {
            self.out.raw(&pad)?;
        }
        self.settle()?;
        let offset = self.out.offset() + BULK_HEAD;
        self.out.bulk_head(len)?;
        Ok(offset)
    }

    /// A bulk string that `read` brings piece by piece.
    pub fn bulk(
        &mut self,
        len: u64,
        mut read: impl FnMut(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        self.bulk_head(len)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let passed = pieces(len, &mut buffer, |piece, at| {
            read(piece, at)?;
            self.bulk_part(piece)
        });
        self.buffer = buffer;
        passed
    }

    /// A record with its bulk from another image.
    pub fn copy(&mut self, from: &File, entry: &Entry) -> Result<()> {
        self.record(RawRecord::parse(&entry.0.0, 0)?)?;
        for &(offset, len, digest) in &entry.1 {
            self.bulk(len, |piece, at| Ok(from.read_exact_at(piece, offset + at)?))?;
            if self.out.bulk_digest() != digest {
                return Err(Error::damaged(offset, "bulk changed between two passes"));
            }
        }
        Ok(())
    }

    /// Writes the index.
    pub fn finish(mut self) -> Result<()> {
        self.settle()?;
        let offset = self.out.offset();
        let mut digest = XxHash3_64::new();
        for record in index(&self.entries)? {
            digest.write(&record.bytes);
            self.out.raw(&record)?;
        }
        self.out.raw(&index_at(offset, digest.finish()))?;
        Ok(())
    }
}

impl<W: Write + Send> Sink for Packer<'_, W> {
    fn record(&mut self, record: RawRecord) -> Result<()> {
        self.in_late = !is_bulk(record.kind);
        if self.in_late {
            self.late.push(Meta { record, bulk: Vec::new() });
            return Ok(());
        }
        self.settle()?;
        self.entries.push(Entry(Bytes(record.bytes.clone()), Vec::new()));
        self.pending = Some(record);
        Ok(())
    }

    fn bulk_head(&mut self, len: u64) -> Result<()> {
        match (self.in_late, self.late.last_mut()) {
            (true, Some(meta)) => meta.bulk.push(Vec::new()),
            _ => {
                let offset = self.head(len)?;
                if let Some(entry) = self.entries.last_mut() {
                    entry.1.push((offset, len, self.out.bulk_digest()));
                }
            }
        }
        Ok(())
    }

    fn bulk_part(&mut self, bytes: &[u8]) -> Result<()> {
        match (self.in_late, self.late.last_mut().and_then(|meta| meta.bulk.last_mut())) {
            (true, Some(bulk)) => bulk.extend_from_slice(bytes),
            _ => {
                self.out.bulk_part(bytes)?;
                // That of the whole string, when this is its last part.
                if let Some(place) = self.entries.last_mut().and_then(|entry| entry.1.last_mut()) {
                    place.2 = self.out.bulk_digest();
                }
            }
        }
        Ok(())
    }
}

impl Packer<'_, Ahead> {
    /// A bulk string that others put into place, with what stands before it.
    pub fn bulk_by<R: Source>(
        &mut self,
        pool: &WorkerPool<'_, Put>,
        reader: &mut Reader<R>,
        len: u64,
    ) -> Result<()> {
        let content = self.head(len)?;
        let (mut offset, before) = self.out.sink()?.take();
        let (long, mut short) = before.split_at(before.len() - before.len() % ROOM);
        for chunk in long.chunks(ROOM) {
            let mut buffer = pool.buffer()?;
            buffer[..ROOM].copy_from_slice(chunk);
            pool.give(Put { offset, start: 0 }, buffer, ROOM)?;
            offset += ROOM as u64;
        }
        loop {
            let mut buffer = pool.buffer()?;
            let left = content + len - offset - short.len() as u64;
            let piece = left.min(PIECE as u64) as usize;
            let at = short.len() + buffer[short.len()..].as_ptr().align_offset(PAGE);
            let start = at - short.len();
            buffer[start..at].copy_from_slice(short);
            reader.read_bulk(&mut buffer[at..at + piece])?;
            pool.give(Put { offset, start }, buffer, at + piece)?;
            offset += (short.len() + piece) as u64;
            short = &[];
            if left == piece as u64 {
                break;
            }
        }
        self.out.bulk_elsewhere(reader.bulk_digest());
        self.out.sink()?.offset = offset;
        if let Some(entry) = self.entries.last_mut() {
            entry.1.push((content, len, self.out.bulk_digest()));
        }
        Ok(())
    }
}
