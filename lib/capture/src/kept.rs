//! What shows descriptors, kept open from the look at processes that run to the one at the same processes when they stand still.
//!
//! To open a file of /proc/PID/fdinfo and to close it takes twice as long as to read it. It belongs to a number and shows what has
//! that number when it is read, so nothing is taken over from the first look but the way.

use floe_proc::OpenInfo;
use std::collections::BTreeMap;

/// Files at most.
const MOST: u64 = 65_536;
/// What else may be open meanwhile.
const OTHERS: u64 = 256;

/// Files of /proc/PID/fdinfo, by process and number.
#[derive(Default, Debug)]
pub struct Kept {
    open: BTreeMap<u32, BTreeMap<u32, OpenInfo>>,
    room: usize,
    /// Soft and hard limit of open files as they were.
    limits: Option<(u64, u64)>,
}

impl Kept {
    /// Nothing is kept yet. A quarter of what may be open is left for duplicates. Until this is dropped we may have as many files open
    /// as our hard limit says; what is started then has the limit that we were started with.
    pub(crate) fn new() -> floe_sys::Result<Self> {
        let (soft, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
        let raised = soft < hard && floe_sys::set_limit(0, libc::RLIMIT_NOFILE, hard, hard).is_ok();
        let (may, limits) = if raised { (hard, Some((soft, hard))) } else { (soft, None) };
        let room = (may - may / 4).saturating_sub(OTHERS).min(MOST) as usize;
        Ok(Self { open: BTreeMap::new(), room, limits })
    }

    /// Whether descriptors of another process can be kept, that many.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        count <= self.room
    }

    /// The same; if they can, there is less room from then on.
    pub(crate) fn takes(&mut self, count: usize) -> bool {
        let has_room = self.has_room(count);
        self.room -= if has_room { count } else { 0 };
        has_room
    }

    /// Keeps those of a process.
    pub(crate) fn put(&mut self, pid: u32, all: impl IntoIterator<Item = (u32, OpenInfo)>) {
        self.open.entry(pid).or_default().extend(all);
    }

    /// Gives away those of a process.
    pub(crate) fn take(&mut self, pid: u32) -> BTreeMap<u32, OpenInfo> {
        self.open.remove(&pid).unwrap_or_default()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.open.clear();
        if let Some((soft, hard)) = self.limits {
            // A soft limit below the hard one can be had by everybody.
            let _ = floe_sys::set_limit(0, libc::RLIMIT_NOFILE, soft, hard);
        }
    }
}
