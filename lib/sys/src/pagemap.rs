//! PAGEMAP_SCAN: the categories of the pages of a range.

use crate::check;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

const PAGEMAP_SCAN: u64 = 0xc060_6610;

/// Categories of pages.
#[allow(missing_docs)]
pub mod page_is {
    pub const WPALLOWED: u64 = 1;
    pub const WRITTEN: u64 = 2;
    pub const FILE: u64 = 4;
    pub const PRESENT: u64 = 8;
    pub const SWAPPED: u64 = 16;
    pub const PFNZERO: u64 = 32;
    pub const HUGE: u64 = 64;
    pub const SOFT_DIRTY: u64 = 128;
    pub const GUARD: u64 = 256;
}

/// A run of pages of the same categories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PageRegion {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// [`page_is`] bits that were asked for and are set.
    pub categories: u64,
}

/// Pages to look for.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageQuery {
    /// Categories to invert before matching.
    pub inverted: u64,
    /// All of these must be set.
    pub all: u64,
    /// At least one of these must be set (0: no condition).
    pub any: u64,
    /// These are reported.
    pub report: u64,
    /// Write-protect what is found, where [`crate::note_writes`] watches; the rest is passed over.
    pub protect: bool,
}

/// PM_SCAN_WP_MATCHING.
const PROTECT: u64 = 1;

#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    inverted: u64,
    all: u64,
    any: u64,
    report: u64,
}

/// Fills `out` with matching regions of `start..end` (page-aligned) through an open `/proc/PID/pagemap`. Gives
/// their number and where the walk ended, which is before `end` when `out` was full.
pub fn pagemap_scan(
    pagemap: BorrowedFd<'_>,
    start: u64,
    end: u64,
    query: PageQuery,
    out: &mut [PageRegion],
) -> io::Result<(usize, u64)> {
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        flags: if query.protect { PROTECT } else { 0 },
        start,
        end,
        walk_end: 0,
        vec: out.as_mut_ptr() as u64,
        vec_len: out.len() as u64,
        max_pages: 0,
        inverted: query.inverted,
        all: query.all,
        any: query.any,
        report: query.report,
    };
    let at = std::ptr::from_mut(&mut arg);
    // SAFETY: `arg` has the size it says, `vec` is the exclusively borrowed slice of `vec_len` regions.
    let n = check(unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, at) } as i64)?;
    Ok((n as usize, arg.walk_end))
}
