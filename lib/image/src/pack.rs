//! Stream to image and back. Metadata is held in memory, bulk passes through.

use crate::{
    Error, Result,
    frame::Coding,
    layout::Entry,
    packer::{Ahead, BUFFER, PIECE, Packer, Put, pieces},
    place::Place,
    recode::{Sink, recode},
    reserve::Reserve,
    temp::Temp,
};
use floe_records::{Compressed, is_bulk};
use floe_stream::{Item, RawRecord, Reader, Source, Writer};
use floe_worker_pool::WorkerPool;
use std::{
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
};

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
pub fn pack<R: Source, W: Write + Send>(
    reader: &mut Reader<R>,
    out: &mut Writer<W>,
    coding: Coding,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    let (mut metadata, first) = metadata(reader)?;
    let mut packer = Packer::new(out, &mut metadata)?;
    match coding {
        Coding::By(how) => recode(reader, first, how, &mut packer, tick)?,
        Coding::AsItIs => as_it_is(reader, first, &mut packer, &mut |packer, reader, len| {
            packer.bulk(len, |piece, _| {
                tick(piece.len() as u64);
                Ok(reader.read_bulk(piece)?)
            })
        })?,
    }
    if packer.late.is_empty() {
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
    coding: Coding,
    sync: bool,
    tick: &mut dyn FnMut(u64),
) -> Result<Ready> {
    let place = Place::resolve(target)?;
    let temp = Temp::new(&place)?;
    let (mut metadata, first) = metadata(reader)?;
    let target = Target { file: temp.file(), reserve: Reserve::default(), sync };
    let late = match coding {
        Coding::AsItIs => target.as_it_is(reader, first, &mut metadata, tick)?,
        Coding::By(how) => {
            let mut out = Writer::new(InOrder { target: &target, offset: 0 });
            let mut packer = Packer::new(&mut out, &mut metadata)?;
            recode(reader, first, how, &mut packer, tick)?;
            let late = finish(packer)?;
            // Of an image, its End; else the bulk is read back.
            if late.is_none() {
                out.end()?;
            } else {
                out.flush()?;
            }
            late
        }
    };
    let Some((entries, late)) = late else {
        target.reserve.trim(target.file)?;
        return Ok(Ready { temp, place, sync });
    };
    // A stage wrote metadata behind bulk: the order is put right by a second pass.
    metadata.extend(late);
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

/// What a first pass leaves where it does not make an image: where its bulk lies, and metadata that came behind bulk.
type Late = (Vec<Entry>, Vec<Meta>);

/// Writes the index, unless metadata has come behind bulk.
fn finish<W: Write + Send>(packer: Packer<'_, W>) -> Result<Option<Late>> {
    if packer.late.is_empty() {
        packer.finish()?;
        return Ok(None);
    }
    Ok(Some((packer.entries, packer.late)))
}

/// The file of an image.
struct Target<'a> {
    file: &'a File,
    reserve: Reserve,
    sync: bool,
}

impl Target<'_> {
    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.reserve.reach(self.file, offset + bytes.len() as u64);
        self.file.write_all_at(bytes, offset)?;
        // The disk begins now, so that there is less to wait for at the end. A file system may not know how.
        if self.sync {
            let _ = floe_sys::start_writeback(self.file.as_fd(), offset, bytes.len() as u64);
        }
        Ok(())
    }

    /// Writes an image whose bulk another thread puts into place.
    fn as_it_is<R: Source>(
        &self,
        reader: &mut Reader<R>,
        first: Option<RawRecord>,
        metadata: &mut [Meta],
        tick: &mut dyn FnMut(u64),
    ) -> Result<Option<Late>> {
        let mut ahead = Writer::new(Ahead::default());
        let put = |Put { offset, start }, bytes: &[u8]| Ok(self.put(offset, &bytes[start..])?);
        let packer =
            floe_worker_pool::run(WRITERS, BUFFERS, BUFFER, put, |pool: &WorkerPool<'_, Put>| {
                let mut packer = Packer::new(&mut ahead, metadata)?;
                as_it_is(reader, first, &mut packer, &mut |packer, reader, len| {
                    tick(len);
                    packer.bulk_by(pool, reader, len)
                })?;
                Ok::<_, Error>(packer)
            })?;
        let late = finish(packer)?;
        if late.is_none() {
            let (offset, rest) = ahead.end()?.take();
            self.file.write_all_at(&rest, offset)?;
        }
        Ok(late)
    }
}

/// Writes a file from its start.
struct InOrder<'a> {
    target: &'a Target<'a>,
    offset: u64,
}

impl Write for InOrder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.target.put(self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what an image or a stream holds as a plain stream, without frames, all but End.
///
/// # Errors
/// As [`pack`].
pub fn unpack<R: Source, W: Write + Send>(
    reader: &mut Reader<R>,
    out: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.next()? {
            Item::Record(record) if record.is::<Compressed>() => {
                return recode(reader, Some(record), None, &mut Plain(out), tick);
            }
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

struct Plain<'a, W: Write>(&'a mut Writer<W>);

impl<W: Write + Send> Sink for Plain<'_, W> {
    fn record(&mut self, record: RawRecord) -> Result<()> {
        Ok(self.0.raw(&record)?)
    }

    fn bulk_head(&mut self, len: u64) -> Result<()> {
        Ok(self.0.bulk_head(len)?)
    }

    fn bulk_part(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.bulk_part(bytes)?)
    }
}

/// Passes a bulk string of this many bytes on.
type PassOn<'a, R, W> = dyn FnMut(&mut Packer<'_, W>, &mut Reader<R>, u64) -> Result<()> + 'a;

/// Packs what comes from `next` on.
fn as_it_is<R: Source, W: Write + Send>(
    reader: &mut Reader<R>,
    next: Option<RawRecord>,
    packer: &mut Packer<'_, W>,
    bulk: &mut PassOn<'_, R, W>,
) -> Result<()> {
    // Without bulk the stream has ended.
    let Some(next) = next else { return Ok(()) };
    packer.record(next)?;
    loop {
        match reader.next()? {
            Item::Record(record) => packer.record(record)?,
            Item::Bulk(len) if packer.in_late => {
                packer.bulk(len, |piece, _| Ok(reader.read_bulk(piece)?))?;
            }
            Item::Bulk(len) => bulk(packer, reader, len)?,
            Item::End => return Ok(()),
        }
    }
}

/// The metadata in front of all bulk, and the first record of that.
fn metadata<R: Source>(reader: &mut Reader<R>) -> Result<(Vec<Meta>, Option<RawRecord>)> {
    let mut metadata = Vec::<Meta>::new();
    loop {
        match reader.next()? {
            Item::Record(record) if is_bulk(record.kind) => return Ok((metadata, Some(record))),
            Item::Record(record) => metadata.push(Meta { record, bulk: Vec::new() }),
            Item::Bulk(len) => {
                let bytes = read_bulk(reader, len)?;
                if let Some(last) = metadata.last_mut() {
                    last.bulk.push(bytes);
                }
            }
            Item::End => return Ok((metadata, None)),
        }
    }
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
