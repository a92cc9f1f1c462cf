//! What shows descriptors, kept open from the look at processes that run to the one at the same processes when they stand still.
//!
//! To open a file of /proc/PID/fdinfo and to close it takes twice as long as to read it. It belongs to a number and shows what has
//! that number when it is read, so nothing is taken over from the first look but the way.
//!
//! Where a program in the kernel reads a table at once, these are only those files that show more than it does.

use floe_proc::OpenInfo;
use floe_tables::Tables;
use rustc_hash::FxHashMap;
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
    /// What reads tables of many descriptors, once that has been tried.
    tables: Option<Option<Tables>>,
    /// What links of descriptors have shown, by what they were opened by.
    links: FxHashMap<Place, Vec<u8>>,
}

/// An entry of a directory and a mount, as a table shows them, and the inode that they led to.
pub(crate) type Place = (u64, u64, u64);

/// Descriptors from which on it pays to load a program of BPF, which takes some milliseconds.
const MANY: usize = 512;

impl Kept {
    /// Nothing is kept yet. A quarter of what may be open is left for duplicates. Until this is dropped we may have as many files open
    /// as our hard limit says; what is started then has the limit that we were started with.
    pub(crate) fn new() -> floe_sys::Result<Self> {
        let (soft, hard) = floe_sys::get_limit(0, libc::RLIMIT_NOFILE)?;
        let raised = soft < hard && floe_sys::set_limit(0, libc::RLIMIT_NOFILE, hard, hard).is_ok();
        let (may, limits) = if raised { (hard, Some((soft, hard))) } else { (soft, None) };
        let room = (may - may / 4).saturating_sub(OTHERS).min(MOST) as usize;
        let (open, tables, links) = (BTreeMap::new(), None, FxHashMap::default());
        Ok(Self { open, room, limits, tables, links })
    }

    /// What reads a table of that many descriptors at once; `None` where files of /proc have to do: for few, on kernels that cannot
    /// do it, and without the right to.
    pub(crate) fn tables(&mut self, count: usize) -> Option<&Tables> {
        if count < MANY {
            return None;
        }
        self.tables.get_or_insert_with(|| Tables::load().ok()).as_ref()
    }

    /// What the link of a descriptor has shown that was opened by the same name.
    pub(crate) fn link(&self, place: Place) -> Option<&[u8]> {
        self.links.get(&place).map(Vec::as_slice)
    }

    /// Keeps what a link has shown.
    pub(crate) fn put_link(&mut self, place: Place, link: Vec<u8>) {
        self.links.insert(place, link);
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
