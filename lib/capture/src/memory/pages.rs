//! Page runs of one address space.

use floe_sys::{Error, PageQuery, PageRegion, Result, page_is, pagemap_scan};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;
/// Bit 58 of a pagemap entry.
const GUARD: u64 = 1 << 58;
/// Switches PAGEMAP_SCAN off, to exercise the older interface.
const NO_SCAN: &str = "FLOE_NO_PAGEMAP_SCAN";

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
        let found = if self.scan { self.by_scan(range) } else { self.by_pagemap(range) };
        found.map_err(|e| Error::new(format!("read /proc/{}/pagemap", self.pid), e).pid(self.pid))
    }

    fn by_scan(&self, range: Range<u64>) -> std::io::Result<Found> {
        let query = PageQuery {
            // Neither of a file nor the zero page, and present or swapped. (A guard counts as swapped.)
            inverted: page_is::FILE | page_is::PFNZERO,
            all: page_is::FILE | page_is::PFNZERO,
            any: page_is::PRESENT | page_is::SWAPPED,
            report: self.guard,
        };
        let mut regions = [PageRegion::default(); 512];
        let mut found = Found::default();
        let mut at = range.start;
        while at < range.end {
            let (count, walked) =
                pagemap_scan(self.pagemap.as_fd(), at, range.end, query, &mut regions)?;
            for region in &regions[..count] {
                let guard = region.categories & page_is::GUARD != 0;
                push(found.list(guard), region.start..region.end);
            }
            if walked <= at {
                return Err(std::io::Error::other("PAGEMAP_SCAN makes no progress"));
            }
            at = walked;
        }
        Ok(found)
    }

    fn by_pagemap(&self, range: Range<u64>) -> std::io::Result<Found> {
        let mut entries = [0u8; 4096];
        let mut found = Found::default();
        let mut at = range.start;
        while at < range.end {
            let pages = ((range.end - at) / PAGE).min(entries.len() as u64 / 8) as usize;
            self.pagemap.read_exact_at(&mut entries[..pages * 8], at / PAGE * 8)?;
            for entry in entries[..pages * 8].chunks_exact(8) {
                let entry = entry.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
                if own(entry) {
                    push(found.list(entry & GUARD != 0), at..at + PAGE);
                }
                at += PAGE;
            }
        }
        Ok(found)
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

fn push(runs: &mut Vec<Range<u64>>, next: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => runs.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_tell_own_pages() {
        assert!(own(1 << 63) && own(1 << 62));
        assert!(!own(0) && !own(1 << 63 | 1 << 61));
    }

    #[test]
    fn both_interfaces_agree() {
        let mut held = vec![0u8; 64 * 4096];
        (0..64).step_by(3).for_each(|page| held[page * 4096 + 100] = 1);
        let start = (held.as_ptr() as u64).next_multiple_of(PAGE);
        let range = start..start + 60 * PAGE;
        let scanner = Scanner::new(std::process::id()).expect("own pagemap");
        let old = scanner.by_pagemap(range.clone()).expect("pagemap");
        assert!(!old.own.is_empty());
        if scanner.scan {
            assert_eq!(scanner.by_scan(range).expect("scan"), old);
        }
    }
}
