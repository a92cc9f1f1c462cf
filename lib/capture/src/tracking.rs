//! Keeping track of which pages are written between two images.
//!
//! The kernel does it (`floe_sys::note_writes`): a page that it has protected is one that nobody has written to since. So a
//! page is unchanged if it is protected, and all are protected when an image is taken. Memory that came, moved or was dropped since then is not
//! protected, nor is that of a child. What only a process's own pages show is watched: ordinary private memory. All else counts as
//! changed.

use crate::{
    Result,
    memory::{Scanner, clip, push_run},
    tree::Tree,
};
use floe_records::{
    Addr, AnyRecord, FdEntries, Finding, Pid, Record, Refusals, Unchanged, Vma, VmaKind,
};
use floe_sys::{note_writes, prepare_to_note_writes};
use std::{
    collections::BTreeMap,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

/// A process whose memory is watched, while this is open somewhere.
#[derive(Debug)]
pub struct Watched {
    /// Its id, where the tree stands.
    pub pid: u32,
    /// When it started, in ticks.
    pub start: u64,
    /// What watches it.
    pub userfault: OwnedFd,
}

/// Those of an earlier round.
static KNOWN: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

fn known() -> std::sync::MutexGuard<'static, Vec<Watched>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what watches the tree already: a mapping that shows it is not refused for that.
pub fn know(watched: Vec<Watched>) {
    *known() = watched;
}

/// Whether it is we who watch a mapping.
pub(crate) fn is_ours(pid: u32, start: u64, end: u64) -> bool {
    let ours = |w: &Watched| w.pid == pid && note_writes(w.userfault.as_fd(), start, end).is_ok();
    known().iter().any(ours)
}

/// Whether the kernel tells what is written of a mapping.
fn can_be_watched(vma: &Vma) -> bool {
    let ordinary = vma.kind == VmaKind::Anon && !vma.shared && vma.huge.is_none();
    ordinary && vma.guards.is_empty() && vma.is_carried() && !vma.needs_tracer()
}

/// The mappings of each process that can be watched, ascending.
fn mappings(records: &[AnyRecord]) -> BTreeMap<u32, Vec<&Vma>> {
    let mut all: BTreeMap<u32, Vec<&Vma>> = BTreeMap::new();
    for record in records {
        if let AnyRecord::Vmas(some) = record {
            let own = all.entry(some.pid.0).or_default();
            own.extend(some.vmas.iter().filter(|vma| can_be_watched(vma)));
        }
    }
    all
}

/// Refuses what writes to memory past the page table, behind the moment at which it is asked for.
fn writes_by_itself(records: &[AnyRecord]) -> Vec<Finding> {
    let mut found = Vec::new();
    let refuse = |pid: Pid, what: &str| {
        let problem = "it writes to memory in a way that does not show which pages have changed";
        Finding::of(pid, what, "tracking.past_pages", problem).hint("leave --track out")
    };
    for record in records {
        match record {
            AnyRecord::Vmas(some) if some.vmas.iter().any(|vma| vma.kind == VmaKind::Aio) => {
                found.push(refuse(some.pid, "asynchronous I/O"));
            }
            AnyRecord::FdEntries(FdEntries { pid, entries }) => {
                let ring = entries.iter().any(|entry| entry.1.0 == b"anon_inode:[io_uring]");
                found.extend(ring.then(|| refuse(*pid, "io_uring")));
            }
            _ => {}
        }
    }
    found
}

impl Tree {
    /// Whether a known process is this one still.
    fn is_it(&self, watched: &Watched) -> bool {
        let held = self.held.iter().find(|held| held.pid == watched.pid && held.zombie.is_none());
        held.is_some_and(|held| held.stat.start_time == watched.start)
    }

    /// Pages of the tree that have not changed since the last round, as records.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn unchanged(&self, records: &[AnyRecord]) -> Result<Vec<AnyRecord>> {
        let mut all = Vec::new();
        let mappings = mappings(records);
        for watched in known().iter().filter(|watched| self.is_it(watched)) {
            let Some(vmas) = mappings.get(&watched.pid) else { continue };
            let scanner = Scanner::new(watched.pid)?;
            let runs = clipped(&scanner.unwritten(span(vmas))?, vmas);
            for some in runs.chunks(Unchanged::MOST) {
                let ranges = some.iter().map(|run| (Addr(run.start), run.end - run.start));
                let (pid, ranges) = (Pid(watched.pid), ranges.collect());
                all.push(Unchanged { pid, ranges }.any());
            }
        }
        Ok(all)
    }

    /// Watches all of the tree from now on, as long as what this gives is open.
    ///
    /// # Errors
    /// What stands in the way, as a refusal. Then nothing is watched.
    pub fn watch(&self, records: &[AnyRecord]) -> Result<Vec<Watched>> {
        let refused = writes_by_itself(records);
        let mut left = std::mem::take(&mut *known());
        if !refused.is_empty() {
            return Err(Refusals(refused).into());
        }
        let mappings = mappings(records);
        let mut scanners = BTreeMap::new();
        for pid in mappings.keys() {
            scanners.insert(*pid, Scanner::new(*pid)?);
        }
        // One whose program is another one now has another memory, of which nothing is watched. Those are closed before any
        // other is made: what another process had in common with them is free then.
        left.retain(|watched| {
            let scanner = scanners.get(&watched.pid).filter(|_| self.is_it(watched));
            scanner.is_some_and(|scanner| shows(scanner, &mappings[&watched.pid]))
        });
        let mut all = Vec::new();
        for (pid, vmas) in &mappings {
            let at = left.iter().position(|watched| watched.pid == *pid);
            let userfault = match at.map(|at| left.swap_remove(at)) {
                Some(watched) => watched.userfault,
                None => self.userfault(*pid)?,
            };
            let Some(held) = self.held.iter().find(|held| held.pid == *pid) else { continue };
            let watched = Watched { pid: *pid, start: held.stat.start_time, userfault };
            watched.protect(vmas, &scanners[pid])?;
            all.push(watched);
        }
        Ok(all)
    }

    /// What can watch a process.
    fn userfault(&self, pid: u32) -> Result<OwnedFd> {
        let made = self.injected(pid, "watch", floe_parasite::userfault);
        let refuse = |reason: String| {
            let problem = format!("which pages it writes cannot be told: {reason}");
            Refusals(vec![Finding::of(Pid(pid), "its memory", "tracking.watch", problem)])
        };
        let made = made.map_err(refuse)?;
        prepare_to_note_writes(made.as_fd()).map_err(|e| refuse(e.to_string()))?;
        Ok(made)
    }
}

impl Watched {
    /// Protects all own pages of these mappings.
    fn protect(&self, vmas: &[&Vma], scanner: &Scanner) -> Result<()> {
        for vma in vmas {
            let range = vma.start.0..vma.end.0;
            match note_writes(self.userfault.as_fd(), range.start, range.end) {
                Ok(()) => scanner.protect(range)?,
                // The kernel watches no such mapping: all of it counts as changed.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
                Err(e) => {
                    let object = format!("{:x}-{:x}", range.start, range.end);
                    let problem = format!("which of its pages are written cannot be told: {e}");
                    let finding = Finding::of(Pid(self.pid), object, "tracking.mapping", problem);
                    return Err(Refusals(vec![finding]).into());
                }
            }
        }
        Ok(())
    }
}

/// The parts of runs that lie in mappings, both ascending: one that cannot be watched any more may have been watched.
fn clipped(runs: &[Range<u64>], vmas: &[&Vma]) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    clip(runs, vmas.iter().copied(), |_, part| push_run(&mut parts, part));
    parts
}

/// Whether anything of these mappings is watched.
fn shows(scanner: &Scanner, vmas: &[&Vma]) -> bool {
    // What cannot be read is not watched for sure, and made anew.
    vmas.iter().any(|vma| scanner.is_watched(vma.start.0..vma.end.0).unwrap_or(false))
}

/// The span that has all of these: holes in it cost nothing, and no other mapping is watched.
fn span(vmas: &[&Vma]) -> Range<u64> {
    let ends = vmas.first().zip(vmas.last());
    ends.map_or(0..0, |(first, last)| first.start.0..last.end.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_mappings_that_can_be_watched() {
        let vma = |start, end| Vma {
            kind: VmaKind::Anon,
            flags: b"rdwrmrmwme"[..].into(),
            ..floe_tests::made::mapping(start, end, b"")
        };
        let vmas = [vma(10, 20), vma(20, 30), vma(40, 50)];
        let vmas: Vec<&Vma> = vmas.iter().collect();
        let cut = clipped(&[5..12, 18..22, 28..41, 45..46, 60..70], &vmas);
        assert_eq!(cut, [10..12, 18..22, 28..30, 40..41, 45..46]);
        assert_eq!(span(&vmas), 10..50);
        assert_eq!((span(&[]), clipped(&[1..2, 4..5], &[])), (0..0, Vec::new()));
    }

    #[test]
    fn what_is_no_ordinary_memory_counts_as_changed() {
        let ordinary = Vma {
            kind: VmaKind::Anon,
            prot: 3,
            flags: b"rdwrmrmwme"[..].into(),
            ..floe_tests::made::mapping(0x1000, 0x2000, b"")
        };
        assert!(can_be_watched(&ordinary));
        for other in [
            Vma { kind: VmaKind::File, ..ordinary.clone() },
            Vma { shared: true, ..ordinary.clone() },
            Vma { guards: vec![(Addr(0x1000), Addr(0x2000))], ..ordinary.clone() },
            Vma { prot: 0, ..ordinary.clone() },
        ] {
            assert!(!can_be_watched(&other), "{other:?}");
        }
    }
}
