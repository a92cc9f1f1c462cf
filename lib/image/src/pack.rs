//! Stream to image and back. Metadata is held in memory, bulk passes through.

use crate::{
    Error, Result,
    layout::{BULK_HEAD, Entry, index, index_at, pad},
    place::Place,
    temp::Temp,
};
use floe_records::{Bytes, FIRST_BULK_KIND};
use floe_stream::{Item, RawRecord, Reader, Source, Writer};
use floe_sys::PrivateMemory;
use nix::{errno::Errno, sys::uio::pwritev};
use std::{
    fs::File,
    hash::Hasher,
    io::{self, IoSlice, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};
use twox_hash::XxHash3_64;

/// Bulk passes in pieces of this: read, hashed and written by one thread, a piece stays in the cache of its core.
const PIECE: usize = 256 << 10;

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
    let out = Out { file: temp.file(), sync };
    let (packer, mut metadata, late) =
        first_pass(reader, &mut ahead, &mut |packer, reader, len| {
            tick(len);
            packer.bulk_into(out, reader, len)
        })?;
    if late.is_empty() {
        packer.finish()?;
        let (offset, rest) = ahead.end()?.take();
        temp.file().write_all_at(&rest, offset)?;
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
            Item::Record(record) if record.kind >= FIRST_BULK_KIND => {
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

/// The file that an image is written to.
#[derive(Clone, Copy)]
struct Out<'a> {
    file: &'a File,
    /// The disk is to begin at once, so that there is less to wait for at the end.
    sync: bool,
}

impl Out<'_> {
    /// Writes both parts, one behind the other.
    fn write(self, offset: u64, first: &[u8], second: &[u8]) -> Result<()> {
        let (mut parts, mut at) = ([IoSlice::new(first), IoSlice::new(second)], offset);
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match pwritev(self.file, left, at as i64) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::EINTR) => {}
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        if self.sync {
            // A file system may not know how.
            let _ = floe_sys::start_writeback(self.file.as_fd(), offset, at - offset);
        }
        Ok(())
    }
}

/// What stands between two bulk strings, until it is written together with the next one.
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
    /// Aligned to pages: the kernel copies whole pages faster to such a place.
    buffer: PrivateMemory,
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
        let buffer = PrivateMemory::new(PIECE).map_err(io::Error::other)?;
        Ok(Self { out, entries: Vec::new(), pending: None, buffer })
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
    /// A bulk string that goes directly to the file, with what stands before it.
    fn bulk_into<R: Source>(
        &mut self,
        out: Out<'_>,
        reader: &mut Reader<R>,
        len: u64,
    ) -> Result<()> {
        let content = self.head(len)?;
        let (start, before) = self.out.sink()?.take();
        // Without content nothing would be written below.
        out.write(start, if len == 0 { &before } else { &[] }, &[])?;
        pieces(len, &mut self.buffer, |piece, at| {
            reader.read_bulk(piece)?;
            match at {
                0 => out.write(start, &before, piece),
                _ => out.write(content + at, piece, &[]),
            }
        })?;
        self.out.bulk_elsewhere(reader.bulk_digest());
        self.out.sink()?.offset = content + len;
        if let Some(entry) = self.entries.last_mut() {
            entry.1.push((content, len, self.out.bulk_digest()));
        }
        Ok(())
    }
}
