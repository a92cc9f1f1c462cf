//! A chain of images, of which each but the first has what has changed since the one before, as one stream.

use crate::{Error, Frame, Image, Result, Run, open::open};
use floe_records::{
    BadRange, Bytes, MAX_CONTENT, Pages, Parent, ParentPages, Patches, Pid, Ranges, Record,
    Resource, Tracked, Unchanged, both, overlaps, without,
};
use floe_stream::{RawRecord, Writer};
use std::{collections::BTreeMap, fs::File, io::Write, ops::Range};

/// Why images are no chain, for people.
#[derive(Debug)]
pub struct Broken {
    /// The place of the first one that does not belong there, from 0 on.
    pub at: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// A chain that is whole.
pub struct Chain(Vec<Link>);

/// An image of it.
struct Link {
    file: File,
    image: Image,
    /// What each process has of the image before.
    unchanged: BTreeMap<Pid, Vec<Range<u64>>>,
    /// Where the pages of each process lie, by ascending address.
    pages: BTreeMap<Pid, Vec<Stored>>,
}

/// Pages one behind the other.
#[derive(Clone, Copy, Debug)]
struct Stored {
    start: u64,
    end: u64,
    /// The record that has them, and where in its content.
    run: usize,
    offset: u64,
}

/// Pages that the result has from an image before the last one.
struct Part {
    range: Range<u64>,
    link: usize,
    stored: Stored,
}

/// The one record of a kind that there is at most once.
fn only<T: Record>(image: &Image) -> Result<Option<T>> {
    let raw = image.metadata.iter().map(|meta| &meta.record).find(|raw| raw.is::<T>());
    let Some(raw) = raw else { return Ok(None) };
    let record: T = raw.decode()?;
    record.check().map_err(|problem| Error::damaged(raw.at, &problem))?;
    Ok(Some(record))
}

impl Chain {
    /// Reads the indices of images, the oldest first, and looks whether each continues the one before. A process is in the
    /// result as the last one has it.
    ///
    /// # Errors
    /// Damage, and what cannot be read.
    pub fn of(files: Vec<File>) -> Result<Result<Self, Broken>> {
        let (mut links, mut before) = (Vec::new(), None::<Bytes>);
        for (at, file) in files.into_iter().enumerate() {
            let broken = |problem: &str| Ok(Err(Broken { at, problem: problem.to_owned() }));
            let Some(image) = open(&file)? else {
                return broken("it is a stream without an index: make an image of it first");
            };
            let parent = only::<Parent>(&image)?.map(|parent| parent.id);
            match (parent, before, at) {
                (None, _, 0) => {}
                (Some(parent), Some(before), _) if parent == before => {}
                (Some(parent), _, 0) => {
                    return broken(&format!("its base is missing, the image {parent}"));
                }
                (None, ..) => return broken("it is a whole image, which continues no other one"),
                (Some(parent), None, _) => {
                    let problem = "what is in front of it was written without --track";
                    return broken(&format!("it continues the image {parent}, and {problem}"));
                }
                (Some(parent), Some(before), _) => {
                    let problem = format!("it continues the image {parent}, and not {before}");
                    return broken(&problem);
                }
            }
            before = only::<Tracked>(&image)?.map(|tracked| tracked.id);
            if inherits(&image)? {
                return broken("its processes have pages in common, so it is of no chain");
            }
            links.push(Link::new(file, image)?);
        }
        Ok(Ok(Self(links)))
    }

    /// Writes the tree as the last image has it, with all pages, all but End. `tick` gets the numbers of bulk bytes.
    ///
    /// # Errors
    /// Damage, and those of `out`.
    pub fn write<W: Write>(&self, out: &mut Writer<W>, tick: &mut dyn FnMut(u64)) -> Result<()> {
        let Some((last, before)) = self.0.split_last() else { return Ok(()) };
        for meta in &last.image.metadata {
            if meta.record.is::<Parent>() || meta.record.is::<Unchanged>() {
                continue;
            }
            out.raw(&meta.record)?;
            meta.bulk.iter().try_for_each(|bulk| out.bulk(bulk))?;
        }
        out.seal()?;
        let mut buffer = Vec::new();
        for run in &last.image.runs {
            out.raw(&run.record)?;
            for bulk in &run.bulk {
                buffer.resize(bulk.len as usize, 0);
                bulk.read(&last.file, &mut buffer)?;
                out.bulk(&buffer)?;
                tick(bulk.len);
            }
        }
        for (pid, wanted) in &last.unchanged {
            Merge::new(before).write(*pid, wanted, out, tick)?;
        }
        Ok(())
    }
}

/// Whether an image has pages that are not said of the process alone that has them.
fn inherits(image: &Image) -> Result<bool> {
    for run in &image.runs {
        let inner = Frame::of(&run.record)?;
        let record = inner.as_ref().map_or(&run.record, |(inner, _)| inner);
        if record.is::<ParentPages>() || record.is::<Patches>() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Link {
    fn new(file: File, image: Image) -> Result<Self> {
        let mut pages: BTreeMap<Pid, Vec<Stored>> = BTreeMap::new();
        for (number, run) in image.runs.iter().enumerate() {
            let Some(record) = pages_of(run)? else { continue };
            let mut offset = 0;
            for &(start, len) in record.ranges.as_slice() {
                let end = start + u64::from(len);
                let stored = Stored { start, end, run: number, offset };
                pages.entry(record.pid).or_default().push(stored);
                offset += u64::from(len);
            }
        }
        for (pid, stored) in &mut pages {
            stored.sort_by_key(|stored| stored.start);
            if stored.windows(2).any(|two| two[0].end > two[1].start) {
                return Err(Error::damaged(0, &format!("pages of process {pid} come twice")));
            }
        }
        let mut unchanged: BTreeMap<Pid, Vec<Range<u64>>> = BTreeMap::new();
        for raw in image.metadata.iter().map(|meta| &meta.record) {
            if !raw.is::<Unchanged>() {
                continue;
            }
            let record: Unchanged = raw.decode()?;
            record.check().map_err(|problem| Error::damaged(raw.at, &problem))?;
            let own = unchanged.entry(record.pid).or_default();
            own.extend(record.ranges.iter().map(|(start, len)| start.0..start.0 + len));
        }
        for (pid, ranges) in &mut unchanged {
            ranges.sort_by_key(|range| range.start);
            if ranges.windows(2).any(|two| two[0].end > two[1].start) {
                let problem = format!("unchanged pages of process {pid} come twice");
                return Err(Error::damaged(0, &problem));
            }
        }
        Ok(Self { file, image, unchanged, pages })
    }

    /// The content of a record of pages.
    fn read(&self, run: usize, stored: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<()> {
        let run = &self.image.runs[run];
        // Checked when it was opened.
        let Some(bulk) = run.bulk.first() else { return Ok(()) };
        match Frame::of(&run.record)? {
            None => {
                content.resize(bulk.len as usize, 0);
                bulk.read(&self.file, content)
            }
            Some((_, frame)) => {
                stored.resize(bulk.len as usize, 0);
                bulk.read(&self.file, stored)?;
                frame.open(stored, |bytes| {
                    content.clear();
                    content.extend_from_slice(bytes);
                    Ok(())
                })
            }
        }
    }
}

/// The pages that a record has, if it is one of pages.
fn pages_of(run: &Run) -> Result<Option<Pages>> {
    let inner = Frame::of(&run.record)?;
    let record: &RawRecord = inner.as_ref().map_or(&run.record, |(inner, _)| inner);
    if !record.is::<Pages>() {
        return Ok(None);
    }
    let pages: Pages = record.decode()?;
    let wrong = "bulk of another length than its record says";
    let [bulk] = run.bulk[..] else { return Err(Error::damaged(run.record.at, wrong)) };
    let fits = match &inner {
        None => bulk.len == pages.ranges.bytes(),
        Some((_, frame)) => {
            frame.check_len(bulk.len)?;
            frame.content_len() == pages.ranges.bytes()
        }
    };
    if fits { Ok(Some(pages)) } else { Err(Error::damaged(run.record.at, wrong)) }
}

/// Pages of one process out of several images.
struct Merge<'a> {
    before: &'a [Link],
    /// Of each image the record that was read last, and its content.
    read: Vec<(Option<usize>, Vec<u8>)>,
    stored: Vec<u8>,
}

impl<'a> Merge<'a> {
    fn new(before: &'a [Link]) -> Self {
        let read = before.iter().map(|_| (None, Vec::new())).collect();
        Self { before, read, stored: Vec::new() }
    }

    /// Where the pages come from: each from the newest image that has it. What none has is zero.
    fn find(&self, pid: Pid, wanted: &[Range<u64>]) -> Vec<Part> {
        let (mut wanted, mut parts) = (wanted.to_vec(), Vec::new());
        for (link, image) in self.before.iter().enumerate().rev() {
            let own = image.pages.get(&pid).map_or(&[][..], Vec::as_slice);
            let ranges: Vec<Range<u64>> = own.iter().map(|own| own.start..own.end).collect();
            overlaps(&wanted, &ranges, |range, at| {
                parts.push(Part { range, link, stored: own[at] });
            });
            let unchanged = image.unchanged.get(&pid).map_or(&[][..], Vec::as_slice);
            wanted = both(&without(&wanted, ranges), unchanged);
        }
        parts.sort_by_key(|part| part.range.start);
        parts
    }

    fn write<W: Write>(
        &mut self,
        pid: Pid,
        wanted: &[Range<u64>],
        out: &mut Writer<W>,
        tick: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let (mut ranges, mut content) = (Ranges::default(), Vec::new());
        let mut send = |ranges: &mut Ranges<{ floe_records::PAGE_SIZE }>, content: &mut Vec<u8>| {
            if !ranges.is_empty() {
                out.record(&Pages { pid, ranges: std::mem::take(ranges) })?;
                out.bulk(content)?;
                tick(content.len() as u64);
                content.clear();
            }
            Ok::<_, Error>(())
        };
        for Part { range, link, stored } in self.find(pid, wanted) {
            let bytes = self.content(link, stored.run)?;
            let (mut at, mut offset) = (range.start, stored.offset + range.start - stored.start);
            while at < range.end {
                let room = MAX_CONTENT - content.len() as u64;
                let len = (range.end - at).min(room);
                match ranges.push(at, len as u32) {
                    Ok(()) => {}
                    Err(BadRange::Full | BadRange::Bounds) if !ranges.is_empty() => {
                        send(&mut ranges, &mut content)?;
                        continue;
                    }
                    Err(bad) => return Err(std::io::Error::other(bad).into()),
                }
                content.extend_from_slice(&bytes[offset as usize..(offset + len) as usize]);
                (at, offset) = (at + len, offset + len);
            }
        }
        send(&mut ranges, &mut content)
    }

    /// The content of a record of an image.
    fn content(&mut self, link: usize, run: usize) -> Result<&[u8]> {
        let (known, content) = &mut self.read[link];
        if *known != Some(run) {
            *known = None;
            self.before[link].read(run, &mut self.stored, content)?;
            *known = Some(run);
        }
        Ok(content)
    }
}
