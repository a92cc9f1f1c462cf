//! Memory and contents of files into place: what comes behind the metadata.
//!
//! An image in a regular file is read through its index, by a thread for each core; everything else in order, in one
//! pass. Either way a record is checked against the tree before its bytes are written anywhere, and every byte has been
//! verified when [`Bulk::fill`] returns.

use crate::{
    part::{Part, Stored, Whole, damaged, plainly},
    read::unknown,
};
use anyhow::Result;
use floe_rebuild::{OpenFiles, Restore};
use floe_records::{MAX_CONTENT, Pages, Pid};
use floe_stream::{Item, RawRecord, Reader, Source};
use floe_toolkit::{Input, Progress};
use floe_worker_pool::WorkerPool;
use std::{
    fs::File,
    io::Seek,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// Threads that put memory into place while the stream is read, and buffers of [`MAX_CONTENT`] between them and the reader.
const FILLERS: usize = 2;
const BUFFERS: usize = 6;
/// Fewer bytes than these are put into place without threads.
const FEW: u64 = 4 << 20;
/// Most threads that read an image through its index, each with a buffer of [`MAX_CONTENT`].
const READERS: usize = 16;

/// Pages that come later, and where in the image their content stands.
pub type LaterPart = (Pages, Stored);

/// Whether a descriptor is a regular file that is read from its first byte on.
pub fn at_its_start(mut file: &File) -> bool {
    file.metadata().is_ok_and(|about| about.is_file())
        && file.stream_position().is_ok_and(|at| at == 0)
}

/// What comes behind the metadata.
pub struct Bulk<'a> {
    whole: Whole<'a>,
    source: BulkSource,
}

enum BulkSource {
    /// To be read in order; a record that has been read, and where its bytes go.
    InOrder(Option<(RawRecord, Part)>),
    /// To be read through the index of an image: in any order what is for the same child, and at the end the rest.
    Indexed(Vec<(Part, floe_image::Bulk)>),
}

impl<'a> Bulk<'a> {
    /// Looks for the index of an image that has been read from the start of its file up to `first`. All that it tells is
    /// checked here.
    pub fn find(
        reader: &mut Reader<Input>,
        whole: Whole<'a>,
        first: Option<RawRecord>,
        from_start: bool,
    ) -> Result<Self> {
        let seal = reader.seal_at().filter(|_| from_start && first.is_some());
        let runs = match seal.map(|seal| floe_image::runs(reader.get_mut().file(), seal)) {
            Some(Ok(runs)) => runs,
            None => None,
            Some(Err(error)) => return Err(plainly(error)),
        };
        let Some(runs) = runs else {
            let first = first.map(|raw| known(raw, whole, reader)).transpose()?;
            return Ok(Self { whole, source: BulkSource::InOrder(first) });
        };
        let mut parts = Vec::with_capacity(runs.len());
        for run in runs {
            let Some(part) = Part::of(&run.record, whole)? else {
                return Err(unknown(&run.record));
            };
            let [bulk] = run.bulk[..] else {
                return Err(damaged(
                    &run.record,
                    "a record with more or less than one bulk string",
                ));
            };
            part.check_len(&run.record, bulk.len)?;
            parts.push((part, bulk));
        }
        // Those for one child are neighbours then, the rest stands behind them all.
        parts.sort_by_key(|(part, _)| std::cmp::Reverse(part.child()));
        Ok(Self { whole, source: BulkSource::Indexed(parts) })
    }

    /// Bytes of work, where known; `file` is that of the stream.
    pub fn total(&self, file: &File) -> Option<u64> {
        match &self.source {
            BulkSource::Indexed(parts) => Some(parts.iter().map(|(_, bulk)| bulk.len).sum()),
            BulkSource::InOrder(_) => {
                file.metadata().ok().filter(|about| about.is_file()).map(|about| about.len())
            }
        }
    }

    /// Pages that may come later, of those that need not be there before a child is made, which are not put into place from now on.
    /// `choose` says of each record whether it may.
    pub fn set_aside(&mut self, choose: impl FnOnce(&[&Pages]) -> Vec<bool>) -> Vec<LaterPart> {
        let BulkSource::Indexed(parts) = &mut self.source else { return Vec::new() };
        let pages: Vec<&Pages> = parts.iter().filter_map(|(part, _)| part.pages()).collect();
        let mut chosen = choose(&pages).into_iter();
        let mut is_chosen = |part: &Part| part.pages().is_some() && chosen.next() == Some(true);
        let all = std::mem::take(parts).into_iter();
        let (later, now): (Vec<_>, Vec<_>) = all.partition(|(part, _)| is_chosen(part));
        *parts = now;
        let later = later.into_iter().filter_map(|(part, bulk)| part.stored(bulk));
        later.collect()
    }

    /// Puts into place what must be there before `child` is made; for `None`, all that is left, up to End.
    pub fn fill(
        &mut self,
        child: Option<Pid>,
        reader: &mut Reader<Input>,
        (work, open): (&Restore<'_>, &OpenFiles<'_>),
        progress: &mut Progress,
    ) -> Result<()> {
        let whole = self.whole;
        match &mut self.source {
            BulkSource::InOrder(next) => {
                let Some((raw, part)) = next.take_if(|(_, part)| part.child() == child) else {
                    return match next {
                        Some((raw, _)) if child.is_none() => Err(damaged(raw, LATE)),
                        _ => Ok(()),
                    };
                };
                let put = |part: Part, bytes: &[u8]| part.put(bytes, work, open);
                // A few pages are not worth a thread.
                let few = child.is_some_and(|child| whole.inheritance.supplied(child) < FEW);
                *next = if few {
                    one_by_one(reader, whole, (raw, part), put, progress)?
                } else {
                    floe_worker_pool::run(FILLERS, BUFFERS, MAX_CONTENT as usize, put, |pool| {
                        pass(reader, whole, (raw, part), pool, progress)
                    })?
                };
                match next {
                    Some((raw, _)) if child.is_none() => Err(damaged(raw, LATE)),
                    _ => Ok(()),
                }
            }
            BulkSource::Indexed(parts) => {
                let start = parts.partition_point(|(part, _)| part.child() > child);
                let end = parts.partition_point(|(part, _)| part.child() >= child);
                let file = reader.get_mut().file();
                let put = |(part, bulk): &(Part, floe_image::Bulk), buffer: &mut [u8]| {
                    let bytes = &mut buffer[..bulk.len as usize];
                    bulk.read(file, bytes).map_err(plainly)?;
                    part.put(bytes, work, open)?;
                    Ok(bulk.len)
                };
                in_parallel(&parts[start..end], put, progress)
            }
        }
    }
}

/// What is wrong with pages for a process that has been made, or never is.
const LATE: &str = "pages for a process that do not come before it is made";

/// Does all of the parts, with a buffer and a thread for each core; the first failure stops all. Where there can be no more
/// threads, fewer will do.
fn in_parallel<T: Sync>(
    parts: &[T],
    put: impl Fn(&T, &mut [u8]) -> Result<u64> + Sync,
    progress: &mut Progress,
) -> Result<()> {
    let (next, done, failure) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(None));
    let lock = || failure.lock().unwrap_or_else(PoisonError::into_inner);
    let work = |tick: &mut dyn FnMut()| {
        let mut buffer = vec![0; MAX_CONTENT as usize];
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            match put(part, &mut buffer) {
                Ok(bytes) => drop(done.fetch_add(bytes, Ordering::Relaxed)),
                Err(error) => {
                    next.store(parts.len(), Ordering::Relaxed);
                    lock().get_or_insert(error);
                }
            }
            tick();
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut told = 0;
    thread::scope(|scope| {
        for _ in 1..cores.min(READERS).min(parts.len()) {
            if thread::Builder::new().spawn_scoped(scope, || work(&mut || ())).is_err() {
                break;
            }
        }
        work(&mut || {
            let now = done.load(Ordering::Relaxed);
            progress.add(now - told);
            told = now;
        });
    });
    progress.add(done.into_inner() - told);
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Where the bytes of a record go that is read in order. Its checksum comes only at the end: until then it is no more than a
/// stranger's word.
fn known<R: Source>(
    raw: RawRecord,
    whole: Whole<'_>,
    reader: &mut Reader<R>,
) -> Result<(RawRecord, Part)> {
    let Some(part) = Part::of(&raw, whole)? else {
        // That may be damage, which only the end tells.
        while !matches!(reader.next()?, Item::End) {}
        return Err(unknown(&raw));
    };
    Ok((raw, part))
}

/// The length of the bulk string of a record.
fn length<R: Source>(reader: &mut Reader<R>, raw: &RawRecord, part: &Part) -> Result<usize> {
    let Item::Bulk(len) = reader.next()? else {
        return Err(damaged(raw, "a record without its bulk"));
    };
    part.check_len(raw, len)?;
    Ok(len as usize)
}

/// The record behind bulk; `None` at the end.
fn following<R: Source>(
    reader: &mut Reader<R>,
    whole: Whole<'_>,
    before: &RawRecord,
) -> Result<Option<(RawRecord, Part)>> {
    match reader.next()? {
        Item::End => Ok(None),
        Item::Record(raw) => known(raw, whole, reader).map(Some),
        Item::Bulk(_) => Err(damaged(before, "bulk behind bulk")),
    }
}

/// Reads in order what is for the same child as the first record is, or for none; gives the record behind that.
fn pass<R: Source>(
    reader: &mut Reader<R>,
    whole: Whole<'_>,
    (mut raw, mut part): (RawRecord, Part),
    pool: &WorkerPool<'_, Part>,
    progress: &mut Progress,
) -> Result<Option<(RawRecord, Part)>> {
    let child = part.child();
    loop {
        let len = length(reader, &raw, &part)?;
        let mut buffer = pool.buffer()?;
        reader.read_bulk(&mut buffer[..len])?;
        pool.give(part, buffer, len)?;
        progress.add(len as u64);
        match following(reader, whole, &raw)? {
            Some(next) if next.1.child() == child => (raw, part) = next,
            next => return Ok(next),
        }
    }
}

/// The same without other threads.
fn one_by_one<R: Source>(
    reader: &mut Reader<R>,
    whole: Whole<'_>,
    (mut raw, mut part): (RawRecord, Part),
    put: impl Fn(Part, &[u8]) -> Result<()>,
    progress: &mut Progress,
) -> Result<Option<(RawRecord, Part)>> {
    let child = part.child();
    let mut buffer = Vec::new();
    loop {
        let len = length(reader, &raw, &part)?;
        buffer.resize(len, 0);
        reader.read_bulk(&mut buffer)?;
        put(part, &buffer)?;
        progress.add(len as u64);
        match following(reader, whole, &raw)? {
            Some(next) if next.1.child() == child => (raw, part) = next,
            next => return Ok(next),
        }
    }
}
