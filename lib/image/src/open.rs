//! An image by its index: metadata whole and checked, bulk wherever it lies, for parallel readers.

use crate::{
    Error, Meta, Result,
    layout::{BULK_HEAD, END_LEN, Entry, INDEX_AT_LEN, bulk_head, entries, pad, parse_index_at},
    pack::read_bulk,
    recode::{Sink, recode},
};
use floe_records::{Compressed, is_bulk};
use floe_stream::{END, INDEX, Item, RawRecord, Reader, Source, Tally};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};
use twox_hash::XxHash3_64;

/// Bytes of the record behind the index, and of End.
const TAIL: usize = INDEX_AT_LEN + END_LEN;

/// An image whose metadata and index are checked. Bulk is not: the reader of a bulk string compares its digest.
#[derive(Debug)]
pub struct Image {
    /// All records before the bulk part, in order.
    pub metadata: Vec<Meta>,
    /// The bulk part, in order.
    pub runs: Vec<Run>,
}

/// A record of the bulk part, and where its bulk strings lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The record.
    pub record: RawRecord,
    /// Its bulk strings, in order.
    pub bulk: Vec<Bulk>,
}

/// A bulk string in an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bulk {
    /// Offset of the content in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// XXH3-64 of the content.
    pub digest: u64,
    /// XXH3-64 of what stands between the bulk string before this one and the content: records, that the index has as
    /// well, and the head.
    head: u64,
    /// Where that begins.
    head_at: u64,
}

impl Bulk {
    /// Fills `content`, whose length is that of the bulk string. Fails when that, or what stands before it, is not what was
    /// written: a reader of all bulk strings has verified every byte of the image.
    pub fn read(&self, file: &File, content: &mut [u8]) -> Result<()> {
        let head = read_at(file, self.head_at, self.offset - self.head_at)?;
        if XxHash3_64::oneshot(&head) != self.head {
            return Err(Error::damaged(self.head_at, "a record is not that of the index"));
        }
        match file.read_exact_at(content, self.offset) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::damaged(self.offset, "the image ends within bulk"));
            }
            done => done?,
        }
        self.check(content)
    }

    /// Fails when `content`, the whole bulk string, is not what was written.
    pub fn check(&self, content: &[u8]) -> Result<()> {
        if content.len() as u64 == self.len && XxHash3_64::oneshot(content) == self.digest {
            return Ok(());
        }
        Err(Error::damaged(self.offset, "the checksum of bulk does not match"))
    }
}

/// Opens an image in a regular file. `None`: there is no index, read it as a stream.
pub fn open(file: &File) -> Result<Option<Image>> {
    let Some(index) = Index::find(file)? else { return Ok(None) };
    let (metadata, seal) = metadata(file)?;
    let runs = index.runs(file, seal)?;
    Ok(Some(Image { metadata, runs }))
}

/// The bulk part of an image in a regular file whose metadata has been read from its first byte on; `seal` is what
/// [`Reader::seal_at`] said. `None`: there is no index, read on as a stream.
pub fn runs(file: &File, seal: (u64, Tally)) -> Result<Option<Vec<Run>>> {
    Index::find(file)?.map(|index| index.runs(file, seal)).transpose()
}

/// The end of an image.
struct Index {
    bytes: Vec<u8>,
    offset: u64,
    tail: [u8; TAIL],
    tail_at: u64,
}

impl Index {
    /// Reads it and checks its digest.
    fn find(file: &File) -> Result<Option<Self>> {
        let about = file.metadata()?;
        if !about.is_file() || about.len() < TAIL as u64 {
            return Ok(None);
        }
        let tail_at = about.len() - TAIL as u64;
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let Some((offset, digest)) = parse_index_at(&tail[..INDEX_AT_LEN]) else {
            return Ok(None);
        };
        let Some(len) = tail_at.checked_sub(offset) else {
            return Err(Error::damaged(tail_at, "an index behind the end"));
        };
        let bytes = read_at(file, offset, len)?;
        if XxHash3_64::oneshot(&bytes) != digest {
            return Err(Error::damaged(offset, "the checksum of the index does not match"));
        }
        Ok(Some(Self { bytes, offset, tail, tail_at }))
    }

    /// What it tells, which must be all that lies between the Seal and End.
    fn runs(&self, file: &File, (at, tally): (u64, Tally)) -> Result<Vec<Run>> {
        let mut walk = Walk { tally, at, head: Vec::new() };
        let runs = walk.index(&self.bytes, self.offset)?;
        let last = walk.at - walk.head.len() as u64;
        if read_at(file, last, walk.head.len() as u64)? != walk.head {
            return Err(Error::damaged(last, "a record is not that of the index"));
        }
        let (index_at, end) = self.tail.split_at(INDEX_AT_LEN);
        walk.tally.record(index_at);
        if walk.tally.item(END) != end {
            return Err(Error::damaged(self.tail_at, "the checksum of the image does not match"));
        }
        Ok(runs)
    }
}

/// Reads a whole image or stream from its start, with what is in its frames, and the index if there is one.
pub fn verify(file: &File) -> Result<Tally> {
    let tally = check(&mut Reader::new(At { file, at: 0 }))?;
    open(file)?;
    Ok(tally)
}

/// Reads a whole image or stream, with what is in its frames.
pub fn check<R: Source>(reader: &mut Reader<R>) -> Result<Tally> {
    loop {
        match reader.next()? {
            Item::Record(record) if record.is::<Compressed>() => {
                recode(reader, Some(record), None, &mut Nowhere, &mut |_| ())?;
                break;
            }
            Item::End => break,
            _ => {}
        }
    }
    Ok(reader.tally())
}

struct Nowhere;

impl Sink for Nowhere {
    fn record(&mut self, _: RawRecord) -> Result<()> {
        Ok(())
    }

    fn bulk_head(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn bulk_part(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// All records before the bulk part, checked by the Seal, and where that is.
fn metadata(file: &File) -> Result<(Vec<Meta>, (u64, Tally))> {
    let mut reader = Reader::new(At { file, at: 0 });
    let mut metadata: Vec<Meta> = Vec::new();
    loop {
        match reader.next()? {
            Item::Record(record) if !is_bulk(record.kind) => {
                metadata.push(Meta { record, bulk: Vec::new() });
            }
            Item::Bulk(len) => {
                let bytes = read_bulk(&mut reader, len)?;
                if let Some(last) = metadata.last_mut() {
                    last.bulk.push(bytes);
                }
            }
            _ => {
                let problem = "bulk before the Seal";
                let seal = reader.seal_at().ok_or(Error::damaged(reader.offset(), problem))?;
                return Ok((metadata, seal));
            }
        }
    }
}

/// Walks over an image by its index and counts what a reader of every byte would count.
struct Walk {
    tally: Tally,
    at: u64,
    /// What must stand between the last bulk string and `at`.
    head: Vec<u8>,
}

impl Walk {
    fn record(&mut self, record: &RawRecord) {
        self.tally.record(&record.bytes);
        self.at += record.bytes.len() as u64;
        self.head.extend(&record.bytes);
    }

    fn bulk(&mut self, offset: u64, len: u64, digest: u64) -> Bulk {
        self.tally.finish_bulk(len, digest);
        self.head.extend(bulk_head(len));
        let head_at = offset - self.head.len() as u64;
        let head = XxHash3_64::oneshot(&self.head);
        self.head.clear();
        self.at = offset + len;
        Bulk { offset, len, digest, head, head_at }
    }

    fn index(&mut self, mut index: &[u8], offset: u64) -> Result<Vec<Run>> {
        let mut records = Vec::new();
        let mut runs = Vec::new();
        let mut at = offset;
        while !index.is_empty() {
            let record = RawRecord::parse(index, at)?;
            if record.kind != INDEX || record.version != 1 {
                return Err(Error::damaged(at, "not an index"));
            }
            for entry in entries(&record)? {
                self.entry(&entry, at, &mut runs)?;
            }
            at += record.bytes.len() as u64;
            index = &index[record.bytes.len()..];
            records.push(record);
        }
        if self.at != offset {
            return Err(Error::damaged(offset, "the index does not tell of every byte"));
        }
        records.iter().for_each(|record| self.tally.record(&record.bytes));
        Ok(runs)
    }

    fn entry(&mut self, entry: &Entry, at: u64, runs: &mut Vec<Run>) -> Result<()> {
        let mut record = RawRecord::parse(&entry.0.0, at)?;
        if record.bytes.len() != entry.0.0.len() {
            return Err(Error::damaged(at, "bytes behind a record of the index"));
        }
        if let Some(&(_, len, _)) = entry.1.first()
            && let Some(pad) = pad(self.at, record.bytes.len(), len)
        {
            self.record(&pad);
        }
        record.at = self.at;
        self.record(&record);
        let mut bulk = Vec::with_capacity(entry.1.len());
        for &(offset, len, digest) in &entry.1 {
            if offset != self.at + BULK_HEAD || len > floe_stream::MAX_BULK {
                return Err(Error::damaged(at, "the index does not fit the image"));
            }
            bulk.push(self.bulk(offset, len, digest));
        }
        runs.push(Run { record, bulk });
        Ok(())
    }
}

/// Bytes of a file; fewer where it ends before. Memory grows with what is there.
fn read_at(file: &File, at: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    At { file, at }.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file from a place of its own, so that the descriptor's offset stays.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Source for At<'_> {
    fn has_more(&mut self) -> io::Result<bool> {
        Ok(self.at < self.file.metadata()?.len())
    }
}

impl Read for At<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let done = self.file.read_at(to, self.at)?;
        self.at += done as u64;
        Ok(done)
    }
}
