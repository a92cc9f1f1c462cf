//! The stage: objects as metadata, pages and object contents as bulk.

use crate::shared::{self, Runs};
use anyhow::Result;
use floe_capture::memory::{Gather, MemFile, Scanner, Source, contents, describe};
use floe_plan::Heritage;
use floe_records::{
    Finding, Object, ObjectData, ObjectId, ObjectKind, Pages, ParentPages, Pid, Process, Ranges,
    Record, Refusals, Tree, Vma, VmaKind, Vmas,
};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Progress, Stage, ZeroCopyWriter};
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::ops::Range;

const PAGE: u64 = 4096;
/// Ranges of one call (IOV_MAX).
const VECTORS: u64 = 1024;

/// What has been seen of the tree so far.
#[derive(Default)]
pub struct DumpMem {
    /// Processes and their mappings.
    tree: Tree,
    objects: BTreeMap<ObjectId, (Object, File)>,
    /// Pages of each process that exist in no file, and which of them are inherited.
    runs: Runs,
    heritage: Heritage,
    lines: Option<File>,
    /// Once bulk is being written.
    sending: Option<(Progress, ZeroCopyWriter)>,
}

impl DumpMem {
    /// `lines` takes progress as JSON lines.
    pub fn new(lines: Option<File>) -> Self {
        Self { lines, ..Self::default() }
    }

    /// Sends what is inherited, before anything else; then, what is left.
    fn start(&mut self, out: &mut Out) -> Result<()> {
        let mut left = 0;
        for (pid, runs) in &mut self.runs {
            *runs = shared::without(runs, self.heritage.kept.get(pid).map_or(&[], Vec::as_slice));
            left += bytes(runs);
        }
        let inherited = self.heritage.supplies.iter().map(|supply| supply.end - supply.start);
        let objects = self.objects.values().map(|(object, _)| object.size);
        let total = left + inherited.chain(objects).sum::<u64>();
        let progress = Progress::new("dumpmem", Some(total), self.lines.take())?;
        let (progress, writer) = self.sending.insert((progress, ZeroCopyWriter::new()?));
        for (pid, from, runs) in shared::by_source(&self.heritage.supplies) {
            let record = |ranges| ParentPages { pid, ranges };
            let memory = MemFile::open(from)?;
            send(out, writer, progress, Gather::new(&memory, runs), record)?;
        }
        Ok(())
    }
}

fn bytes(runs: &[Range<u64>]) -> u64 {
    runs.iter().map(|run| run.end - run.start).sum()
}

/// Writes records of ranges of a source, with their bytes.
fn send<const ALIGN: u64, R: Record>(
    out: &mut Out,
    writer: &mut ZeroCopyWriter,
    progress: &mut Progress,
    mut gather: Gather<impl Source>,
    record: impl Fn(Ranges<ALIGN>) -> R,
) -> Result<()> {
    loop {
        let (ranges, read) = gather.fill(writer.buffer())?;
        progress.add(read);
        if ranges.is_empty() {
            return Ok(());
        }
        let len = ranges.bytes() as usize;
        out.record(&record(ranges))?;
        writer.bulk(out, 0..len)?;
    }
}

impl Stage for DumpMem {
    fn passed(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Process>() {
            self.tree.insert(raw.decode::<Process>()?.any())?;
        } else if raw.is::<Vmas>() {
            self.tree.insert(raw.decode::<Vmas>()?.any())?;
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
            let vmas: Vec<Vma> = self.tree.vmas(p.pid).cloned().collect();
            self.runs.insert(p.pid, own(p.pid, &vmas)?);
        }
        self.heritage = shared::find(&self.tree, &self.runs)?;
        self.heritage.records.iter().try_for_each(|record| Ok(out.record(record)?))
    }

    fn first_bulk(&mut self, out: &mut Out) -> Result<()> {
        self.start(out)
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let Some((mut progress, mut writer)) = self.sending.take() else { return Ok(()) };
        for (object, file) in self.objects.values() {
            // `freeze` has sent it: only its own processes can read it.
            if object.kind == ObjectKind::Secret {
                continue;
            }
            let gather = Gather::new(file, contents(file, object.size)?);
            let record = |ranges| ObjectData { id: object.id, ranges };
            send(out, &mut writer, &mut progress, gather, record)?;
        }
        for (pid, runs) in std::mem::take(&mut self.runs) {
            let record = |ranges| Pages { pid, ranges };
            send(out, &mut writer, &mut progress, Gather::new(pid, runs), record)?;
        }
        shared::send_differences(&self.heritage.differ, out)?;
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
