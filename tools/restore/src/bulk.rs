//! Memory and contents of files into place: what comes behind the metadata.
//!
//! An image in a regular file is read through its index, by a thread for each core; everything else in order, in one
//! pass. Either way a record is checked against the tree before its bytes are written anywhere, and every byte has been
//! verified when [`Bulk::fill`] returns.

use crate::read::unknown;
use anyhow::Result;
use floe_plan::{has_object_for, has_room_for};
use floe_rebuild::{OpenFiles, Restore};
use floe_records::{MAX_CONTENT, ObjectData, Pages, Tree};
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
/// Most threads that read an image through its index, each with a buffer of [`MAX_CONTENT`].
const READERS: usize = 16;

/// Where the bytes of a record go.
pub enum Place {
    Memory(Pages),
    Object(ObjectData),
}

impl Place {
    /// What a record says, and whether that place is one of the tree. `None`: it is of another kind.
    fn of(raw: &RawRecord, tree: &Tree) -> Result<Option<Self>> {
        let (place, known) = if raw.is::<Pages>() {
            let pages: Pages = raw.decode()?;
            let known = has_room_for(tree, &pages);
            (Self::Memory(pages), known)
        } else if raw.is::<ObjectData>() {
            let data: ObjectData = raw.decode()?;
            let known = has_object_for(tree, &data);
            (Self::Object(data), known)
        } else {
            return Ok(None);
        };
        if known {
            Ok(Some(place))
        } else {
            Err(damaged(raw, "bulk that belongs to nothing of the tree"))
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Memory(pages) => pages.ranges.bytes(),
            Self::Object(data) => data.ranges.bytes(),
        }
    }

    fn put(&self, bytes: &[u8], work: &Restore<'_>, open: &OpenFiles<'_>) -> Result<()> {
        match self {
            Self::Memory(pages) => Ok(work.pages(pages, bytes)?),
            Self::Object(data) => Ok(open.write_object(data, bytes)?),
        }
    }
}

fn damaged(raw: &RawRecord, problem: &str) -> anyhow::Error {
    floe_stream::Error::damaged(raw.at, problem).into()
}

/// Whether a descriptor is a regular file that is read from its first byte on.
pub fn at_its_start(mut file: &File) -> bool {
    file.metadata().is_ok_and(|about| about.is_file())
        && file.stream_position().is_ok_and(|at| at == 0)
}

/// What comes behind the metadata.
pub enum Bulk {
    /// To be read in order; the first record has been read.
    InOrder(Option<RawRecord>),
    /// To be read through the index of an image, in any order.
    Indexed(Vec<(Place, floe_image::Bulk)>),
}

impl Bulk {
    /// Looks for the index of an image that has been read from the start of its file up to `first`. All that it tells is
    /// checked here.
    pub fn find(
        reader: &mut Reader<Input>,
        tree: &Tree,
        first: Option<RawRecord>,
        from_start: bool,
    ) -> Result<Self> {
        let seal = reader.seal_at().filter(|_| from_start && first.is_some());
        let Some(seal) = seal else { return Ok(Self::InOrder(first)) };
        let runs = match floe_image::runs(reader.get_mut().file(), seal) {
            Ok(Some(runs)) => runs,
            Ok(None) => return Ok(Self::InOrder(first)),
            Err(floe_image::Error::Stream(error)) => return Err(error.into()),
            Err(error) => return Err(error.into()),
        };
        let mut parts = Vec::with_capacity(runs.len());
        for run in runs {
            let Some(place) = Place::of(&run.record, tree)? else {
                return Err(unknown(&run.record));
            };
            let [bulk] = run.bulk[..] else {
                return Err(damaged(
                    &run.record,
                    "a record with more or less than one bulk string",
                ));
            };
            if bulk.len != place.bytes() {
                return Err(damaged(&run.record, "bulk of another length than its record says"));
            }
            parts.push((place, bulk));
        }
        Ok(Self::Indexed(parts))
    }

    /// Bytes of work, where known; `file` is that of the stream.
    pub fn total(&self, file: &File) -> Option<u64> {
        match self {
            Self::Indexed(parts) => Some(parts.iter().map(|(_, bulk)| bulk.len).sum()),
            Self::InOrder(_) => {
                file.metadata().ok().filter(|about| about.is_file()).map(|about| about.len())
            }
        }
    }

    /// Puts all of it into place.
    pub fn fill(
        &self,
        reader: &mut Reader<Input>,
        tree: &Tree,
        work: &Restore<'_>,
        open: &OpenFiles<'_>,
        progress: &mut Progress,
    ) -> Result<()> {
        match self {
            Self::InOrder(None) => Ok(()),
            Self::InOrder(Some(first)) => {
                let put = |place: Place, bytes: &[u8]| place.put(bytes, work, open);
                floe_worker_pool::run(FILLERS, BUFFERS, MAX_CONTENT as usize, put, |pool| {
                    pass(reader, tree, first.clone(), pool, progress)
                })
            }
            Self::Indexed(parts) => {
                let file = reader.get_mut().file();
                let put = |(place, bulk): &(Place, floe_image::Bulk), buffer: &mut [u8]| {
                    let bytes = &mut buffer[..bulk.len as usize];
                    bulk.read(file, bytes).map_err(|error| match error {
                        floe_image::Error::Stream(error) => anyhow::Error::from(error),
                        error => error.into(),
                    })?;
                    place.put(bytes, work, open)?;
                    Ok(bulk.len)
                };
                in_parallel(parts, put, progress)
            }
        }
    }
}

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

/// Reads it all in order, up to End.
fn pass<R: Source>(
    reader: &mut Reader<R>,
    tree: &Tree,
    mut raw: RawRecord,
    pool: &WorkerPool<'_, Place>,
    progress: &mut Progress,
) -> Result<()> {
    loop {
        // Its checksum comes only at the end: until then a record is no more than a stranger's word.
        let Some(place) = Place::of(&raw, tree)? else {
            // That may be damage, which only the end tells.
            while !matches!(reader.next()?, Item::End) {}
            return Err(unknown(&raw));
        };
        let Item::Bulk(len) = reader.next()? else {
            return Err(damaged(&raw, "a record without its bulk"));
        };
        if len != place.bytes() {
            return Err(damaged(&raw, "bulk of another length than its record says"));
        }
        let mut buffer = pool.buffer()?;
        reader.read_bulk(&mut buffer[..len as usize])?;
        pool.give(place, buffer, len as usize)?;
        progress.add(len);
        raw = match reader.next()? {
            Item::End => return Ok(()),
            Item::Record(raw) => raw,
            Item::Bulk(_) => return Err(damaged(&raw, "bulk behind bulk")),
        };
    }
}
