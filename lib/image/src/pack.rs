//! Stream to image and back. Metadata is held in memory, bulk passes through.

use crate::{
    Error, Result,
    layout::{BULK_HEAD, Entry, index, index_at, pad},
    place::Place,
    reserve::Reserve,
    temp::Temp,
};
use floe_records::{Bytes, is_bulk};
use floe_stream::{Item, RawRecord, Reader, Source, Writer};
use floe_worker_pool::WorkerPool;
use std::{
    fs::File,
    hash::Hasher,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};
use twox_hash::XxHash3_64;

/// Bulk passes in pieces of this.
const PIECE: usize = 256 << 10;
/// A piece stands in its buffer as the pages it comes from: between places of unlike offsets in their pages copying is slower.
const PAGE: usize = 4096;
/// Most of what is written together with a piece that it stands before.
const ROOM: usize = 64 << 10;
/// Threads that write an image (more would only wait for the lock of the inode), and buffers before them.
const WRITERS: usize = 1;
const BUFFERS: usize = 8;

/// A metadata record, with the bulk strings behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The record.
    pub record: RawRecord,
    /// Contents of a pipe, for example.
    pub bulk: Vec<Vec<u8>>,
}

/// Writes the stream as an image to `out`, which cannot seek, all but End; `tick` gets the numbers of bulk bytes.
///
/// # Errors
/// Those of both streams. What has been written to `out` is whole items unless `out` itself has failed or the input ends
/// within bulk.
pub fn pack<R: Source, W: Write>(
    reader: &mut Reader<R>,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    let (packer, _, late) = first_pass(reader, out, &mut |packer, reader, len| {
        packer.bulk(len, |piece, _| {
            tick(piece.len() as u64);
            Ok(reader.read_bulk(piece)?)
        })
    })?;
    if late.is_empty() {
        return packer.finish();
    }
    let problem = "metadata behind bulk: an image of it needs a file that can be written twice";
    Err(io::Error::other(problem).into())
}

/// An image that is whole and has no name yet; dropped, it is gone.
pub struct Ready {
    temp: Temp,
    place: Place,
    sync: bool,
}

impl Ready {
    /// Gives it its name.
    pub fn commit(self) -> Result<()> {
        self.temp.commit(&self.place, self.sync)
    }
}

/// Writes the stream as an image that will appear at `target` whole or not at all; with `sync` it is on the disk
/// by then.
pub fn pack_file<R: Source>(
    reader: &mut Reader<R>,
    target: &Path,
    sync: bool,
    tick: &mut dyn FnMut(u64),
) -> Result<Ready> {
    let place = Place::resolve(target)?;
    let temp = Temp::new(&place)?;
    let mut ahead = Writer::new(Ahead::default());
    let (file, reserve) = (temp.file(), Reserve::default());
    let put = |Put { offset, start }, bytes: &[u8]| {
        let bytes = &bytes[start..];
        reserve.reach(file, offset + bytes.len() as u64);
        file.write_all_at(bytes, offset)?;
        // The disk begins now, so that there is less to wait for at the end. A file system may not know how.
        if sync {
            let _ = floe_sys::start_writeback(file.as_fd(), offset, bytes.len() as u64);
        }
        Ok(())
    };
    let (packer, mut metadata, late) = floe_worker_pool::run(
        WRITERS,
        BUFFERS,
        PAGE + ROOM + PIECE,
        put,
        |pool: &WorkerPool<'_, Put>| {
            first_pass(reader, &mut ahead, &mut |packer, reader, len| {
                tick(len);
                packer.bulk_by(pool, reader, len)
            })
        },
    )?;
    if late.is_empty() {
        packer.finish()?;
        let (offset, rest) = ahead.end()?.take();
        file.write_all_at(&rest, offset)?;
        reserve.trim(file)?;
        return Ok(Ready { temp, place, sync });
    }
    // A stage wrote metadata behind bulk: the order is put right by a second pass.
    metadata.extend(late);
    let entries = packer.entries;
    let second = Temp::new(&place)?;
    let mut out = Writer::new(second.file());
    let mut packer = Packer::new(&mut out, &mut metadata)?;
    for entry in &entries {
        packer.copy(temp.file(), entry)?;
    }
    packer.finish()?;
    out.end()?;
    drop(temp);
    Ok(Ready { temp: second, place, sync })
}

/// Writes what an image or a stream holds as a plain stream, all but End.
///
/// # Errors
/// As [`pack`].
pub fn unpack<R: Source, W: Write>(
    reader: &mut Reader<R>,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.next()? {
            Item::Record(record) => out.raw(&record)?,
            Item::Bulk(len) => {
                out.bulk_head(len)?;
                pieces(len, &mut buffer, |piece, _| {
                    reader.read_bulk(piece)?;
                    tick(piece.len() as u64);
                    Ok(out.bulk_part(piece)?)
                })?;
            }
            Item::End => return Ok(()),
        }
    }
}

/// Passes a bulk string of this many bytes on.
type PassOn<'a, R, W> = dyn FnMut(&mut Packer<'_, W>, &mut Reader<R>, u64) -> Result<()> + 'a;

/// Everything but the index: the image so far, its metadata, and the metadata that came too late.
fn first_pass<'a, R: Source, W: Write>(
    reader: &mut Reader<R>,
    out: &'a mut Writer<W>,
    bulk: &mut PassOn<'_, R, W>,
) -> Result<(Packer<'a, W>, Vec<Meta>, Vec<Meta>)> {
    let (mut metadata, mut late) = (Vec::<Meta>::new(), Vec::<Meta>::new());
    let (mut packer, mut out) = (None, Some(out));
    let mut in_bulk = false;
    loop {
        match reader.next()? {
            Item::Record(record) if is_bulk(record.kind) => {
                if let Some(out) = out.take() {
                    packer = Some(Packer::new(out, &mut metadata)?);
                }
                in_bulk = true;
                if let Some(packer) = &mut packer {
                    packer.record(record)?;
                }
            }
            Item::Record(record) => {
                in_bulk = false;
                let list = if packer.is_some() { &mut late } else { &mut metadata };
                list.push(Meta { record, bulk: Vec::new() });
            }
            Item::Bulk(len) => match &mut packer {
                Some(packer) if in_bulk => bulk(packer, reader, len)?,
                _ => {
                    let bytes = read_bulk(reader, len)?;
                    let last = if packer.is_some() { &mut late } else { &mut metadata };
                    if let Some(last) = last.last_mut() {
                        last.bulk.push(bytes);
                    }
                }
            },
            Item::End => break,
        }
    }
    if let Some(out) = out {
        packer = Some(Packer::new(out, &mut metadata)?);
    }
    packer.map(|packer| (packer, metadata, late)).ok_or_else(|| Error::damaged(0, "no stream"))
}

/// A whole bulk string of metadata; memory grows with what arrives, not with what is announced.
pub(crate) fn read_bulk<R: Source>(reader: &mut Reader<R>, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; PIECE];
    pieces(len, &mut buffer, |piece, _| {
        reader.read_bulk(piece)?;
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Calls `work` for pieces of `buffer` and their offsets until they add up to `len`.
fn pieces(
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

/// What a writer is to do with a buffer.
struct Put {
    /// Where it belongs in the file.
    offset: u64,
    /// Where it begins in the buffer.
    start: usize,
}

/// What stands between two bulk strings, until it is written together with the next one: two threads that write
/// wait for each other.
#[derive(Default)]
struct Ahead {
    offset: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    /// Where it belongs, and what it is.
    fn take(&mut self) -> (u64, Vec<u8>) {
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

/// The bulk part of an image while it is written.
struct Packer<'a, W: Write> {
    out: &'a mut Writer<W>,
    entries: Vec<Entry>,
    /// Held back until it is known whether bulk follows, which a filler goes before.
    pending: Option<RawRecord>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    /// Writes all metadata in ascending kind, and the Seal.
    fn new(out: &'a mut Writer<W>, metadata: &mut [Meta]) -> Result<Self> {
        metadata.sort_by_key(|meta| meta.record.kind);
        for meta in metadata {
            out.raw(&meta.record)?;
            for bulk in &meta.bulk {
                out.bulk(bulk)?;
            }
        }
        out.seal()?;
        Ok(Self { out, entries: Vec::new(), pending: None, buffer: vec![0; PIECE] })
    }

    fn record(&mut self, record: RawRecord) -> Result<()> {
        self.settle()?;
        self.entries.push(Entry(Bytes(record.bytes.clone()), Vec::new()));
        self.pending = Some(record);
        Ok(())
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
    fn bulk(&mut self, len: u64, mut read: impl FnMut(&mut [u8], u64) -> Result<()>) -> Result<()> {
        let offset = self.head(len)?;
        let Self { out, buffer, .. } = self;
        pieces(len, buffer, |piece, at| {
            read(piece, at)?;
            Ok(out.bulk_part(piece)?)
        })?;
        if let Some(entry) = self.entries.last_mut() {
            entry.1.push((offset, len, self.out.bulk_digest()));
        }
        Ok(())
    }

    /// A record with its bulk from another image.
    fn copy(&mut self, from: &File, entry: &Entry) -> Result<()> {
        self.record(RawRecord::parse(&entry.0.0, 0)?)?;
        for &(offset, len, digest) in &entry.1 {
            self.bulk(len, |piece, at| Ok(from.read_exact_at(piece, offset + at)?))?;
            if self.out.bulk_digest() != digest {
                return Err(Error::damaged(offset, "bulk changed between two passes"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
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

impl Packer<'_, Ahead> {
    /// A bulk string that others put into place, with what stands before it.
    fn bulk_by<R: Source>(
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
