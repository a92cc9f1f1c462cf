//! Page runs of one address space.

use floe_records::{Vma, VmaKind};
use floe_sys::{Error, PageQuery, PageRegion, Result, page_is, pagemap_scan};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;
/// Bit 58 of a pagemap entry.
const GUARD: u64 = 1 << 58;
/// Bit 56: the page is mapped once. What is swapped out does not have it.
const EXCLUSIVE: u64 = 1 << 56;
/// Regions that one call brings. With more than the kernel gathers at a time (512) a walk that comes to its end may say
/// that it ended at an earlier place.
const REGIONS: usize = 512;
/// What a look may pass over for nothing rather than begin anew, bytes.
const DETOUR: u64 = 1 << 20;
/// Switches PAGEMAP_SCAN off, to exercise the older interface.
const NO_SCAN: &str = "FLOE_NO_PAGEMAP_SCAN";

/// What is there of a process's memory.
const OWN: PageQuery = PageQuery {
    inverted: 0,
    all: 0,
    any: page_is::PRESENT | page_is::SWAPPED,
    report: 0,
    protect: false,
};

/// Runs of pages, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Present or swapped out, and of no file.
    pub own: Vec<Range<u64>>,
    /// Guards (MADV_GUARD_INSTALL): nobody can read them.
    pub guards: Vec<Range<u64>>,
}

/// Tells which pages of a process are its own.
pub struct Scanner {
    pid: u32,
    pagemap: File,
    scan: bool,
    /// The category of guards, where this kernel knows it (Linux 6.15).
    guard: u64,
}

impl Scanner {
    /// Opens /proc/PID/pagemap; needs CAP_SYS_PTRACE over the process.
    pub fn new(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/pagemap");
        let pagemap =
            File::open(&path).map_err(|e| Error::new(format!("open {path}"), e).pid(pid))?;
        let knows = |report| {
            let query = PageQuery { report, ..PageQuery::default() };
            pagemap_scan(pagemap.as_fd(), 0, 0, query, &mut []).is_ok()
        };
        let scan = std::env::var_os(NO_SCAN).is_none() && knows(0);
        let guard = if scan && knows(page_is::GUARD) { page_is::GUARD } else { 0 };
        Ok(Self { pid, pagemap, scan, guard })
    }

    /// What there is in `range`.
    pub fn look(&self, range: Range<u64>) -> Result<Found> {
        self.look_among(range, true)
    }

    /// What there is in `range`, in which there may be pages of files or not.
    fn look_among(&self, range: Range<u64>, files: bool) -> Result<Found> {
        let found = if self.scan { self.by_scan(range, files) } else { self.by_pagemap(range) };
        found.map_err(|e| self.unable(e))
    }

    fn unable(&self, e: std::io::Error) -> Error {
        Error::new(format!("read /proc/{}/pagemap", self.pid), e).pid(self.pid)
    }

    /// What there is in those of the VMAs that are wanted. `vmas` are all of the process's, ascending. Runs go on from
    /// one VMA into the next where both or neither can be read; guards end with their VMA.
    pub fn look_at(&self, vmas: &[Vma], wanted: impl Fn(&Vma) -> bool) -> Result<Found> {
        let mut seen = Found::default();
        for (span, files) in self.spans(vmas, &wanted) {
            let found = self.look_among(span, files)?;
            seen.own.extend(found.own);
            seen.guards.extend(found.guards);
        }
        let mut clipped = Found::default();
        let mut last = None;
        clip(&seen.own, vmas.iter().filter(|vma| wanted(vma)), |vma, run| {
            let can_be_read = Some(vma.prot & 1);
            if last.replace(vma.prot & 1) == can_be_read {
                push(&mut clipped.own, run);
            } else {
                clipped.own.push(run);
            }
        });
        let wanted = vmas.iter().filter(|vma| wanted(vma));
        clip(&seen.guards, wanted, |_, guard| clipped.guards.push(guard));
        Ok(clipped)
    }

    /// Spans that hold all VMAs that are wanted, few of them: a look at each alone would cost a call for each. Holes
    /// cost PAGEMAP_SCAN nothing, and /proc/PID/pagemap as much as memory. Each with whether a file may be mapped there: to
    /// tell pages of files costs the kernel a look at the state of each page, so large memory of no file is a span of its own.
    fn spans(&self, vmas: &[Vma], wanted: impl Fn(&Vma) -> bool) -> Vec<(Range<u64>, bool)> {
        let mut spans: Vec<(Range<u64>, bool)> = Vec::new();
        let mut passed = 0;
        for vma in vmas {
            let (start, end) = (vma.start.0, vma.end.0);
            if !wanted(vma) {
                passed += end - start;
                continue;
            }
            let files = vma.kind != VmaKind::Anon;
            let last = spans.last_mut().filter(|(last, of_files)| {
                let detour = if self.scan { passed } else { start - last.end };
                let small = end - start <= DETOUR && last.end - last.start <= DETOUR;
                detour <= DETOUR && (*of_files == files || small)
            });
            match last {
                Some((last, of_files)) => {
                    last.end = end;
                    *of_files |= files;
                }
                None => spans.push((start..end, files)),
            }
            passed = 0;
        }
        spans
    }

    /// Which pages of a range, all of them its own, are mapped by nobody else: runs, ascending.
    pub fn exclusive(&self, range: Range<u64>) -> Result<Vec<(Range<u64>, bool)>> {
        let mut runs: Vec<(Range<u64>, bool)> = Vec::new();
        let read = self.entries(range, |at, entry| {
            let exclusive = entry & EXCLUSIVE != 0;
            match runs.last_mut() {
                Some((last, same)) if last.end == at && *same == exclusive => last.end += PAGE,
                _ => runs.push((at..at + PAGE, exclusive)),
            }
        });
        read.map_err(|e| Error::new(format!("read /proc/{}/pagemap", self.pid), e).pid(self.pid))?;
        Ok(runs)
    }

    fn by_scan(&self, range: Range<u64>, files: bool) -> std::io::Result<Found> {
        let not = if files { page_is::FILE | page_is::PFNZERO } else { page_is::PFNZERO };
        let query = PageQuery {
            // Neither of a file nor the zero page, and present or swapped. (A guard counts as swapped.)
            inverted: not,
            all: not,
            any: page_is::PRESENT | page_is::SWAPPED,
            report: self.guard,
            protect: false,
        };
        let mut found = Found::default();
        self.scan(range, query, |region| {
            let guard = region.categories & page_is::GUARD != 0;
            push(found.list(guard), region.start..region.end);
        })?;
        Ok(found)
    }

    /// Hands on each run of pages that a query finds.
    fn scan(
        &self,
        range: Range<u64>,
        query: PageQuery,
        mut with: impl FnMut(&PageRegion),
    ) -> std::io::Result<()> {
        let mut regions = [PageRegion::default(); REGIONS];
        let mut at = range.start;
        while at < range.end {
            let (count, walked) =
                pagemap_scan(self.pagemap.as_fd(), at, range.end, query, &mut regions)?;
            regions[..count].iter().for_each(&mut with);
            if walked <= at {
                return Err(std::io::Error::other("PAGEMAP_SCAN makes no progress"));
            }
            at = walked;
        }
        Ok(())
    }

    /// Its own pages in a range that have been protected and not been written since, where memory is watched
    /// ([`floe_sys::note_writes`]): runs, ascending.
    pub fn unwritten(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let inverted = page_is::PFNZERO | page_is::WRITTEN;
        let query = PageQuery { inverted, all: inverted | page_is::WPALLOWED, ..OWN };
        let mut found = Vec::new();
        let scanned = self.scan(range, query, |region| push(&mut found, region.start..region.end));
        scanned.map_err(|e| self.unable(e))?;
        Ok(found)
    }

    /// Protects its own pages in a range that is watched.
    pub fn protect(&self, range: Range<u64>) -> Result<()> {
        let (inverted, all) = (page_is::PFNZERO, page_is::PFNZERO | page_is::WRITTEN);
        let query = PageQuery { inverted, all, protect: true, ..OWN };
        self.scan(range, query, |_| ()).map_err(|e| self.unable(e))
    }

    /// Whether any page of a range is watched.
    pub fn is_watched(&self, range: Range<u64>) -> Result<bool> {
        let query = PageQuery { all: page_is::WPALLOWED, ..OWN };
        let mut watched = false;
        self.scan(range, query, |_| watched = true).map_err(|e| self.unable(e))?;
        Ok(watched)
    }

    /// Which parts of a range transparent huge pages back. Older kernels do not tell: then none.
    pub fn collapsed(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        if !self.scan {
            return Ok(Vec::new());
        }
        let all = page_is::HUGE;
        let query =
            PageQuery { inverted: page_is::FILE, all: all | page_is::FILE, ..PageQuery::default() };
        let mut found = Vec::new();
        let scanned = self.scan(range, query, |region| push(&mut found, region.start..region.end));
        scanned.map_err(|e| self.unable(e))?;
        Ok(found)
    }

    fn by_pagemap(&self, range: Range<u64>) -> std::io::Result<Found> {
        let mut found = Found::default();
        self.entries(range, |at, entry| {
            if own(entry) {
                push(found.list(entry & GUARD != 0), at..at + PAGE);
            }
        })?;
        Ok(found)
    }

    /// Hands on each entry of the pagemap, with its address.
    fn entries(&self, range: Range<u64>, mut with: impl FnMut(u64, u64)) -> std::io::Result<()> {
        let mut at = range.start;
        let mut entries = vec![0u8; ((range.end - at) / PAGE * 8).min(64 << 10) as usize];
        while at < range.end {
            let pages = ((range.end - at) / PAGE).min(entries.len() as u64 / 8) as usize;
            self.pagemap.read_exact_at(&mut entries[..pages * 8], at / PAGE * 8)?;
            for entry in entries[..pages * 8].chunks_exact(8) {
                with(at, entry.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)));
                at += PAGE;
            }
        }
        Ok(())
    }
}

impl Found {
    fn list(&mut self, guard: bool) -> &mut Vec<Range<u64>> {
        if guard { &mut self.guards } else { &mut self.own }
    }
}

/// Bits of Documentation/admin-guide/mm/pagemap.rst: 63 present, 62 swapped, 61 of a file or shared memory.
/// A guard counts as swapped out.
fn own(entry: u64) -> bool {
    entry >> 62 != 0 && entry >> 61 & 1 == 0
}

/// Hands on the parts of the runs that lie in the VMAs; both ascend.
pub(crate) fn clip<'a>(
    runs: &[Range<u64>],
    vmas: impl Iterator<Item = &'a Vma>,
    mut with: impl FnMut(&'a Vma, Range<u64>),
) {
    let mut next = 0;
    for vma in vmas {
        while let Some(run) = runs.get(next).filter(|run| run.start < vma.end.0) {
            let part = run.start.max(vma.start.0)..run.end.min(vma.end.0);
            if !part.is_empty() {
                with(vma, part);
            }
            if run.end > vma.end.0 {
                break;
            }
            next += 1;
        }
    }
}

/// Adds a run behind the others, to the last one where it goes on.
pub(crate) fn push(runs: &mut Vec<Range<u64>>, next: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => runs.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::VmaKind;

    #[test]
    fn bits_tell_own_pages() {
        assert!(own(1 << 63) && own(1 << 62));
        assert!(!own(0) && !own(1 << 63 | 1 << 61));
    }

    fn vma(start: u64, end: u64, prot: u8, shared: bool) -> Vma {
        Vma { prot, shared, kind: VmaKind::Anon, ..floe_tests::made::mapping(start, end, b"") }
    }

    #[test]
    fn runs_are_clipped_to_their_mappings() {
        let vmas = [vma(10, 20, 3, false), vma(20, 30, 1, false), vma(40, 50, 3, false)];
        let mut parts = Vec::new();
        clip(&[0..5, 8..12, 15..35, 38..45, 48..49, 60..70], vmas.iter(), |vma, part| {
            parts.push((vma.start.0, part));
        });
        let want = [(10, 10..12), (10, 15..20), (20, 20..30), (40, 40..45), (40, 48..49)];
        assert_eq!(parts, want);
    }

    #[test]
    fn one_look_spans_many_mappings() {
        let mut scanner = Scanner::new(std::process::id()).expect("own pagemap");
        let vmas = [
            vma(0x1000, 0x2000, 3, false),
            vma(0x3000, 0x4000, 1, true),
            vma(0x5000, 0x6000, 1, false),
            vma(0x10_0000_0000, 0x10_0000_1000, 3, false),
            vma(0x20_0000_0000, 0x30_0000_0000, 3, true),
            vma(0x30_0000_0000, 0x30_0000_1000, 3, false),
        ];
        let spans = |scanner: &Scanner| {
            let spans = scanner.spans(&vmas, |vma| !vma.shared);
            spans.into_iter().map(|(span, _)| span).collect::<Vec<_>>()
        };
        let (far, last) = (0x10_0000_0000..0x10_0000_1000, 0x30_0000_0000..0x30_0000_1000);
        scanner.scan = false;
        assert_eq!(spans(&scanner), [0x1000..0x6000, far.clone(), last.clone()]);
        scanner.scan = true;
        assert_eq!(spans(&scanner), [0x1000..far.end, last]);
    }

    #[test]
    fn large_memory_of_no_file_is_a_span_of_its_own() {
        let file = |start, end| Vma { kind: VmaKind::File, ..vma(start, end, 3, false) };
        let (start, end) = (0x10_0000, 0x1000_0000);
        let vmas = [
            file(0x1000, 0x2000),
            vma(0x2000, 0x3000, 3, false),
            vma(start, end, 3, false),
            file(end, end + 0x1000),
            vma(end + 0x1000, end + 0x2000, 3, false),
        ];
        let scanner = Scanner::new(std::process::id()).expect("own pagemap");
        let spans = scanner.spans(&vmas, |_| true);
        let want = [(0x1000..0x3000, true), (start..end, false), (end..end + 0x2000, true)];
        assert_eq!(spans, want);
    }

    /// More runs than one call brings, and then some.
    #[test]
    fn many_runs_are_found_once() {
        const PAGES: usize = 4000;
        // Zeros come as memory that nothing has touched yet.
        let mut held = vec![0u8; (2 * PAGES + 2) * 4096];
        let start = (held.as_ptr() as u64).next_multiple_of(PAGE);
        let first = (start - held.as_ptr() as u64) as usize;
        (0..PAGES).for_each(|page| held[first + page * 8192] = 1);
        let range = start..start + 2 * PAGES as u64 * PAGE;
        let scanner = Scanner::new(std::process::id()).expect("own pagemap");
        let found = scanner.look(range.clone()).expect("look");
        assert_eq!(found, scanner.by_pagemap(range).expect("pagemap"));
        assert!(found.own.is_sorted_by(|one, other| one.end < other.start), "{found:?}");
        assert!(found.own.len() > PAGES / 2, "huge pages hide what is to be tested");
    }

    #[test]
    fn both_interfaces_agree() {
        let mut held = vec![0u8; 64 * 4096];
        (0..64).step_by(3).for_each(|page| held[page * 4096 + 100] = 1);
        let start = (held.as_ptr() as u64).next_multiple_of(PAGE);
        let range = start..start + 60 * PAGE;
        let mut scanner = Scanner::new(std::process::id()).expect("own pagemap");
        let old = scanner.by_pagemap(range.clone()).expect("pagemap");
        assert!(!old.own.is_empty());
        let page =
            |n: u64, prot, shared| vma(start + n * PAGE, start + (n + 1) * PAGE, prot, shared);
        // Each second one can be read, each fifth is not wanted.
        let vmas: Vec<Vma> = (0..60).map(|n| page(n, (n % 2) as u8, n % 5 == 0)).collect();
        let has_scan = std::mem::replace(&mut scanner.scan, false);
        let apart = scanner.look_at(&vmas, |vma| !vma.shared).expect("look");
        let pages = |runs: &[Range<u64>]| {
            runs.iter().flat_map(|run| run.clone().step_by(4096)).collect::<Vec<_>>()
        };
        let own: Vec<u64> = pages(&old.own);
        let wanted = own
            .into_iter()
            .filter(|at| !((at - start) / PAGE).is_multiple_of(5))
            .collect::<Vec<_>>();
        assert_eq!(pages(&apart.own), wanted);
        assert!(apart.own.iter().all(|run| run.end - run.start == PAGE), "{apart:?}");
        if has_scan {
            scanner.scan = true;
            assert_eq!(scanner.by_scan(range.clone(), true).expect("scan"), old);
            assert_eq!(scanner.by_scan(range, false).expect("scan"), old);
            assert_eq!(scanner.look_at(&vmas, |vma| !vma.shared).expect("look"), apart);
        }
    }
}
