//! The stage: objects as metadata, pages and object contents as bulk.

use crate::{
    early::{Early, Running, bytes},
    left::{Left, List},
    piece::{Held, Origin, Piece, Sink, Stream, What},
    shared::{self, Runs},
};
use anyhow::Result;
use floe_capture::memory::{Scanner, contents, describe};
use floe_plan::Heritage;
use floe_records::{
    Begin, Entered, Finding, Object, ObjectId, ObjectKind, Parent, Pid, Process, Record, Refusals,
    Requests, Stage as Mark, Thread, Tracked, Tree, Unchanged, Vma, VmaKind, Vmas,
};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Progress, Stage, ZeroCopyWriter};
use floe_worker_pool::parallel;
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::ops::Range;

const PAGE: u64 = 4096;
/// Ranges of one call (IOV_MAX).
const VECTORS: u64 = 1024;
/// Processes that a thread looks at, at a time.
const AT_ONCE: usize = 4;

/// What has been seen of the tree so far.
#[derive(Default)]
pub struct DumpMem {
    /// Processes and their mappings.
    tree: Tree,
    objects: BTreeMap<ObjectId, (Object, File)>,
    /// Pages of each process that exist in no file, and which of them are inherited.
    runs: Runs,
    heritage: Heritage,
    /// Pages of each process that an image before this one has.
    unchanged: BTreeMap<Pid, Vec<(u64, u64)>>,
    /// This image is one of several that tell of changes: each says of a process by itself what it has.
    is_tracked: bool,
    lines: Option<File>,
    /// Where it is written down what stays where it is.
    list: Option<List>,
    left: Left,
    early: Early,
    /// The tree runs by now.
    runs_on: bool,
    /// Once bulk is being written.
    sending: Option<(Progress, ZeroCopyWriter)>,
}

impl DumpMem {
    /// `lines` takes progress as JSON lines, `list` what stays where it is.
    pub fn new(lines: Option<File>, list: Option<List>) -> Self {
        Self { lines, list, ..Self::default() }
    }

    /// Pages of each process that exist in no file, but for those that an image before this one has.
    fn own_runs(&self) -> Result<Runs> {
        let (tree, unchanged) = (&self.tree, &self.unchanged);
        let pids: Vec<Pid> = tree.living().map(|p| p.pid).collect();
        let runs = parallel::each_of(pids, AT_ONCE, |pid| {
            let vmas: Vec<Vma> = tree.vmas(pid).cloned().collect();
            let unchanged = unchanged.get(&pid).map_or(&[][..], Vec::as_slice);
            Ok((pid, shared::without(&own(pid, &vmas)?, unchanged)))
        });
        runs.collect()
    }

    /// Leaves out what is inherited, and begins to tell progress.
    fn start(&mut self) -> Result<()> {
        let mut left = 0;
        for (pid, runs) in &mut self.runs {
            *runs = shared::without(runs, self.heritage.kept.get(pid).map_or(&[], Vec::as_slice));
            *runs = shared::without(runs, self.left.get(pid).map_or(&[], Vec::as_slice));
            left += bytes(runs);
        }
        let inherited = self.heritage.supplies.iter().map(|supply| supply.end - supply.start);
        let objects = self.objects.values().map(|(object, _)| object.size);
        let total = left + inherited.chain(objects).sum::<u64>();
        let progress = Progress::new("dumpmem", Some(total), self.lines.take())?;
        self.sending = Some((progress, ZeroCopyWriter::new()?));
        Ok(())
    }

    /// What is inherited.
    fn parents(&self) -> Vec<Piece> {
        let supplies = shared::by_source(&self.heritage.supplies);
        let piece =
            |(pid, from, runs)| Piece { what: What::Parent(pid), origin: Origin::Tree(from), runs };
        supplies.map(piece).collect()
    }

    /// What is not, but for what comes from copies.
    fn rest(&mut self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for (object, file) in self.objects.values() {
            // `freeze` has sent it: only its own processes can read it.
            if object.kind != ObjectKind::Secret {
                let (what, runs) = (What::Object(object.id), contents(file, object.size)?);
                pieces.push(Piece { what, origin: Origin::File, runs });
            }
        }
        for (pid, runs) in std::mem::take(&mut self.runs) {
            pieces.push(Piece { what: What::Own(pid), origin: Origin::Tree(pid), runs });
        }
        let (what, origin) = (What::Differences, Origin::File);
        pieces.push(Piece { what, origin, runs: Vec::new() });
        Ok(pieces)
    }

    fn send(&self, piece: Piece, sink: &mut impl Sink) -> Result<()> {
        match piece.what {
            What::Differences => shared::send_differences(&self.heritage.differ, sink),
            What::Object(id) => piece.send(self.objects.get(&id).map(|(_, file)| file), sink),
            _ => piece.send(None, sink),
        }
    }

    /// Sends pieces. The tree runs as soon as nothing is left to be read of it; a little of that is read before anything is sent.
    fn send_all(
        &self,
        pieces: Vec<Piece>,
        running: Option<&Running>,
        stream: &mut Stream<'_>,
    ) -> Result<()> {
        let of_tree = |piece: &Piece| if piece.is_of_tree() { bytes(&piece.runs) } else { 0 };
        let Some(running) = running else {
            return pieces.into_iter().try_for_each(|piece| self.send(piece, stream));
        };
        let differ = self.heritage.differ.iter().map(|differ| differ.end - differ.start);
        let held = pieces.iter().map(of_tree).chain(differ).sum::<u64>() <= HELD;
        let mut later = Vec::new();
        if held {
            let mut buffer = Vec::new();
            for piece in pieces {
                if piece.is_of_tree() {
                    let mut held = Held::by(buffer);
                    self.send(piece, &mut held)?;
                    buffer = held.buffer_of();
                    later.push(Ok(held));
                } else {
                    later.push(Err(piece));
                }
            }
        } else {
            let last = pieces.iter().rposition(Piece::is_of_tree).map_or(0, |last| last + 1);
            let mut pieces = pieces.into_iter();
            pieces.by_ref().take(last).try_for_each(|piece| self.send(piece, stream))?;
            later.extend(pieces.map(Err));
        }
        running.release()?;
        later.into_iter().try_for_each(|one| match one {
            Ok(held) => held.send(stream),
            Err(piece) => self.send(piece, stream),
        })
    }
}

/// What is read of the tree before anything is sent, bytes.
const HELD: u64 = 32 << 20;

impl Stage for DumpMem {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Entered>() && self.list.is_some() {
            let problem =
                "it has namespaces of its own: who is to give its pages does not stand there";
            let finding = Finding::about("the tree", "leave.namespaces", problem);
            return Err(Refusals(vec![finding.hint("without --leave")]).into());
        }
        if raw.is::<Begin>() {
            self.early.begin = Some(raw.decode()?);
        } else if raw.is::<Requests>() {
            self.early.requests = Some(raw.decode()?);
        } else if raw.is::<Mark>() {
            self.early.files_are_told |= raw.decode::<Mark>()?.tool == "dumpfs";
        }
        Ok(())
    }

    /// Behind the moment at which the tree runs on it may end.
    fn needs_target(&self) -> bool {
        !self.runs_on
    }

    fn passed(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            self.tree.insert(raw.decode::<Process>()?.any())?;
        } else if raw.is::<Vmas>() {
            self.tree.insert(raw.decode::<Vmas>()?.any())?;
        } else if self.list.is_some() && raw.is::<Thread>() {
            self.tree.insert(raw.decode::<Thread>()?.any())?;
        } else if raw.is::<Unchanged>() {
            let Unchanged { pid, ranges } = raw.decode()?;
            let ends = ranges.iter().map(|(start, len)| (start.0, start.0.saturating_add(*len)));
            self.unchanged.entry(pid).or_default().extend(ends);
        } else if raw.is::<Tracked>() || raw.is::<Parent>() {
            self.is_tracked = true;
        }
        Ok(())
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        for p in self.tree.living() {
            for vma in self.tree.vmas(p.pid).filter(|vma| vma.kind == VmaKind::Object) {
                let known = vma.file.as_ref().map(|file| ObjectId { dev: file.dev, ino: file.ino });
                if known.is_some_and(|id| self.objects.contains_key(&id)) {
                    continue;
                }
                let (object, file) = describe(p.pid.0, vma)?;
                if let Entry::Vacant(place) = self.objects.entry(object.id) {
                    out.record(&object)?;
                    place.insert((object, file));
                }
            }
        }
        self.runs = self.own_runs()?;
        if !self.is_tracked {
            self.heritage = shared::find(&self.tree, &self.runs)?;
        }
        self.heritage.records.iter().try_for_each(|record| out.record(record))?;
        let Some(list) = &mut self.list else { return Ok(()) };
        let mut own = self.runs.clone();
        for (pid, kept) in &self.heritage.kept {
            own.entry(*pid).and_modify(|runs| *runs = shared::without(runs, kept));
        }
        let (left, records) = list.find(&self.tree, &own)?;
        self.left = left;
        records.iter().try_for_each(|record| Ok(out.record(record)?))
    }

    fn first_bulk(&mut self, out: &mut Out) -> Result<()> {
        self.start()?;
        let Some((mut progress, mut writer)) = self.sending.take() else { return Ok(()) };
        let mut stream = Stream { out, writer: &mut writer, progress: &mut progress };
        self.send_all(self.parents(), None, &mut stream)?;
        self.sending = Some((progress, writer));
        Ok(())
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let mut pieces = Vec::new();
        if self.sending.is_none() {
            self.start()?;
            pieces = self.parents();
        }
        let Some((mut progress, mut writer)) = self.sending.take() else { return Ok(()) };
        let running = self.early.copy(&self.tree, &mut self.runs)?;
        pieces.append(&mut self.rest()?);
        if let Some(running) = &running {
            running.take_over(&self.tree, &mut pieces);
        }
        let mut stream = Stream { out, writer: &mut writer, progress: &mut progress };
        self.send_all(pieces, running.as_ref(), &mut stream)?;
        self.runs_on = running.is_some();
        progress.finish();
        Ok(())
    }
}

/// Runs of pages that exist in no file, ascending.
fn own(pid: Pid, vmas: &[Vma]) -> Result<Vec<Range<u64>>> {
    // Everything of it travels, whether it is of its file or not.
    let whole = |vma: &Vma| vma.kind == VmaKind::Detached && vma.guards.is_empty();
    let scanned = |vma: &Vma| vma.is_carried() && !whole(vma);
    let mut runs = Vec::new();
    if vmas.iter().any(scanned) {
        let scanner = Scanner::new(pid.0)?;
        let found = scanner.look_at(vmas, scanned)?;
        guarded(pid, vmas.iter().filter(|vma| scanned(vma)), &found.guards)?;
        runs = match vmas.iter().any(Vma::needs_tracer) {
            // `freeze` has sent their pages.
            true => scanner.look_at(vmas, |vma| scanned(vma) && !vma.needs_tracer())?.own,
            false => found.own,
        };
    }
    let whole = vmas.iter().filter(|vma| vma.is_carried() && whole(vma));
    runs.extend(whole.map(|vma| readable(pid, vma)).filter(|run| !run.is_empty()));
    runs.sort_by_key(|run| run.start);
    Ok(runs)
}

/// Refuses guards that are not in the records: Linux 6.15 to 6.17 does not show in smaps where they may be.
fn guarded<'a>(pid: Pid, vmas: impl Iterator<Item = &'a Vma>, found: &[Range<u64>]) -> Result<()> {
    let mut left = found;
    let mut no = Vec::new();
    for vma in vmas {
        let count = left.iter().take_while(|guard| guard.start < vma.end.0).count();
        left = &left[count..];
        if vma.kind == VmaKind::Detached || count != vma.guards.len() {
            let object = format!("{:x}-{:x}", vma.start.0, vma.end.0);
            let problem = "it has guards (MADV_GUARD_INSTALL) that cannot be captured";
            no.push(Finding::of(pid, object, "mapping.guard", problem));
        }
    }
    if no.is_empty() { Ok(()) } else { Err(Refusals(no).into()) }
}

/// The part of a mapping that can be read: behind the end of its file there is nothing.
fn readable(pid: Pid, vma: &Vma) -> Range<u64> {
    let mut end = vma.start.0;
    while end < vma.end.0 {
        // A byte of each page tells.
        let pages = ((vma.end.0 - end) / PAGE).min(VECTORS);
        let bytes: Vec<(u64, u32)> = (0..pages).map(|page| (end + page * PAGE, 1)).collect();
        let mut into = vec![0; bytes.len()];
        let pid = pid.0 as i32;
        let done = floe_sys::read_memory_ranges_partial(pid, &bytes, &mut into).unwrap_or(0) as u64;
        end += done * PAGE;
        // Where this way is barred there may be another one.
        if done < pages {
            if floe_sys::read_memory(pid, end, &mut [0]).is_err() {
                break;
            }
            end += PAGE;
        }
    }
    vma.start.0..end
}
