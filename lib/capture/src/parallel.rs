//! The same work on many descriptors, in several threads.

pub(crate) use floe_worker_pool::parallel::{each, each_of};
use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Sees to it that as many descriptors can be open without their table growing: while several threads have it, the kernel waits
/// for all CPUs whenever it grows, some hundredths of a second. To be called before there are others.
pub(crate) fn make_room(like: BorrowedFd<'_>, count: usize) {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    if MADE.fetch_max(count, Ordering::Relaxed) >= count {
        return;
    }
    let limit = floe_sys::get_limit(0, libc::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let last = (count as u64).min(limit.saturating_sub(1));
    // Where it is not to be had, it only takes longer.
    let _ = floe_sys::duplicate_from(like, i32::try_from(last).unwrap_or(0));
}
