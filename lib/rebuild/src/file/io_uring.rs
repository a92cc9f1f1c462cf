//! Instances of io_uring. One is made in restore, where requests that do nothing bring its counters to what they were; then it gets
//! its content. Processes map it when they make their mappings.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{IoUring, OpenFile, RingSizes};
use floe_sys::{
    Error, RINGS, Result, SQES, io_uring_count, io_uring_memory, io_uring_setup, write_mapped,
};
use std::os::fd::{AsFd, OwnedFd};

/// IORING_SETUP_SUBMIT_ALL: whether it was set does not show.
const SUBMIT_ALL: u32 = 1 << 7;
/// Bytes of a page.
const PAGE: u64 = 4096;

impl ForFile for IoUring {
    fn open(&self, open: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let rooms = (self.sq_entries, self.cq_entries);
        let (fd, places) = io_uring_setup(rooms.0, rooms.1, self.flags | SUBMIT_ALL)?;
        io_uring_count(fd.as_fd(), &places, rooms, self.taken, self.cq_head)?;
        let sizes = RingSizes::of(self.flags, rooms.0, rooms.1);
        let most = (places.cqes + sizes.cqes as usize).max(places.array + sizes.array as usize);
        let mut rings = io_uring_memory(fd.as_fd(), RINGS, most)?;
        let mut put = |at: usize, bytes: &[u8]| {
            let form = || Error::because("fill an io_uring instance", "it has another form here");
            rings.get_mut(at..at + bytes.len()).ok_or_else(form).map(|to| to.copy_from_slice(bytes))
        };
        put(places.sq_tail, &self.sq_tail.to_ne_bytes())?;
        put(places.cq_flags, &self.cq_flags.to_ne_bytes())?;
        put(places.cqes, &self.cqes.0)?;
        if sizes.array > 0 {
            put(places.array, &self.array.0)?;
        }
        write_mapped(fd.as_fd(), PAGE, RINGS, &rings)?;
        write_mapped(fd.as_fd(), PAGE, SQES, &self.sqes.0)?;
        with_status(fd, open)
    }
}
