//! The stage: objects as metadata, pages and object contents as bulk.

use anyhow::{Context, Result};
use floe_capture::memory::{Found, Scanner, contents, describe};
use floe_records::{
    Addr, Object, ObjectData, ObjectId, Pages, Pid, Refusal, Refusals, Vma, VmaKind, Vmas,
};
use floe_stream::RawRecord;
use floe_toolkit::{Out, Progress, Stage, ZeroCopyWriter};
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;
static ZERO: [u8; PAGE] = [0; PAGE];

/// What has been seen of the tree so far.
pub struct DumpMem {
    vmas: Vec<(Pid, Vma)>,
    objects: BTreeMap<ObjectId, (Object, File)>,
    progress: Option<File>,
}

impl DumpMem {
    /// `progress` takes JSON lines.
    pub fn new(progress: Option<File>) -> Self {
        Self { vmas: Vec::new(), objects: BTreeMap::new(), progress }
    }

    fn pages(
        &self,
        out: &mut Out,
        progress: &mut Progress,
        runs: &[(Pid, Range<u64>)],
    ) -> Result<()> {
        let mut writer = ZeroCopyWriter::new()?;
        for (pid, run) in runs {
            let mut at = run.start;
            while at < run.end {
                let piece = piece(writer.buffer(), run.end - at);
                let len = piece.len() as u64;
                floe_sys::read_memory(pid.0 as i32, at, piece)?;
                for part in nonzero(piece) {
                    let len = part.len() as u32;
                    out.record(&Pages { pid: *pid, addr: Addr(at + part.start as u64), len })?;
                    writer.bulk(out, part)?;
                }
                at += len;
                progress.add(len);
            }
        }
        Ok(())
    }

    fn contents(&self, out: &mut Out, progress: &mut Progress) -> Result<()> {
        let mut writer = ZeroCopyWriter::new()?;
        for (object, file) in self.objects.values() {
            for run in contents(file, object.size)? {
                let mut offset = run.start;
                while offset < run.end {
                    let piece = piece(writer.buffer(), run.end - offset);
                    let len = piece.len() as u64;
                    file.read_exact_at(piece, offset).context("unable to read a nameless file")?;
                    for part in nonzero(piece) {
                        let (offset, len) = (offset + part.start as u64, part.len() as u32);
                        out.record(&ObjectData { id: object.id, offset, len })?;
                        writer.bulk(out, part)?;
                    }
                    offset += len;
                    progress.add(len);
                }
            }
        }
        Ok(())
    }
}

impl Stage for DumpMem {
    fn record(&mut self, raw: &RawRecord) -> Result<()> {
        if raw.is::<Vmas>() {
            let Vmas { pid, vmas } = raw.decode()?;
            let wanted =
                vmas.into_iter().filter(|vma| vma.is_carried() || vma.kind == VmaKind::Object);
            self.vmas.extend(wanted.map(|vma| (pid, vma)));
        }
        Ok(())
    }

    fn metadata(&mut self, out: &mut Out) -> Result<()> {
        for (pid, vma) in self.vmas.iter().filter(|(_, vma)| vma.kind == VmaKind::Object) {
            let known = vma.file.as_ref().map(|file| ObjectId { dev: file.dev, ino: file.ino });
            if known.is_some_and(|id| self.objects.contains_key(&id)) {
                continue;
            }
            let (object, file) = describe(pid.0, vma)?;
            if let Entry::Vacant(place) = self.objects.entry(object.id) {
                out.record(&object)?;
                place.insert((object, file));
            }
        }
        Ok(())
    }

    fn bulk(&mut self, out: &mut Out) -> Result<()> {
        let mut runs = Vec::new();
        let mut scanner: Option<(Pid, Scanner)> = None;
        for (pid, vma) in self.vmas.iter().filter(|(_, vma)| vma.is_carried()) {
            if vma.kind == VmaKind::Content && vma.guards.is_empty() {
                runs.push((*pid, readable(*pid, vma)));
                continue;
            }
            if scanner.as_ref().is_none_or(|(of, _)| of != pid) {
                scanner = Some((*pid, Scanner::new(pid.0)?));
            }
            if let Some((_, scanner)) = &scanner {
                let found = scanner.look(vma.start.0..vma.end.0)?;
                guarded(*pid, vma, &found)?;
                runs.extend(found.own.into_iter().map(|run| (*pid, run)));
            }
        }
        let private: u64 = runs.iter().map(|(_, run)| run.end - run.start).sum();
        let shared: u64 = self.objects.values().map(|(object, _)| object.size).sum();
        let mut progress = Progress::new("dumpmem", Some(private + shared), self.progress.take())?;
        self.contents(out, &mut progress)?;
        self.pages(out, &mut progress, &runs)?;
        progress.finish();
        Ok(())
    }
}

/// Refuses guards that are not in the records: Linux 6.15 to 6.17 does not show in smaps where they may be.
fn guarded(pid: Pid, vma: &Vma, found: &Found) -> Result<()> {
    if vma.kind != VmaKind::Content && found.guards.len() == vma.guards.len() {
        return Ok(());
    }
    let refusal = Refusal {
        pid: Some(pid),
        object: format!("{:x}-{:x}", vma.start.0, vma.end.0),
        problem: "it has guards (MADV_GUARD_INSTALL) that cannot be captured".to_owned(),
        hint: String::new(),
    };
    Err(Refusals(vec![refusal]).into())
}

/// As much of a buffer as is wanted.
fn piece(buffer: &mut [u8], wanted: u64) -> &mut [u8] {
    let len = wanted.min(buffer.len() as u64) as usize;
    &mut buffer[..len]
}

/// What of a mapping can be read: behind the end of its file there is nothing.
fn readable(pid: Pid, vma: &Vma) -> Range<u64> {
    let mut page = [0; PAGE];
    let mut end = vma.start.0;
    while end < vma.end.0 && floe_sys::read_memory(pid.0 as i32, end, &mut page).is_ok() {
        end += PAGE as u64;
    }
    vma.start.0..end
}

/// Page runs of `bytes` that are not all zero.
fn nonzero(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, page) in bytes.chunks(PAGE).enumerate() {
        if page == &ZERO[..page.len()] {
            continue;
        }
        let start = number * PAGE;
        match runs.last_mut() {
            Some(last) if last.end == start => last.end += page.len(),
            _ => runs.push(start..start + page.len()),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_pages_cost_nothing() {
        let mut bytes = vec![0; 5 * PAGE + 10];
        assert!(nonzero(&bytes).is_empty());
        bytes[PAGE] = 1;
        bytes[2 * PAGE + 5] = 1;
        bytes[5 * PAGE + 9] = 1;
        assert_eq!(nonzero(&bytes), [PAGE..3 * PAGE, 5 * PAGE..5 * PAGE + 10]);
    }
}
