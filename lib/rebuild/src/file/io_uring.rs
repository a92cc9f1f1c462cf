//! Instances of io_uring. One is made in restore, where requests that do nothing bring its counters to what they were; then it gets
//! its content. Processes map it when they make their mappings.

use crate::{
    factory::{Factory, with_status},
    resource::{Context, ForFile},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, FileId, IoUring, OpenFile, Pid, RingSizes};
use floe_sys::{
    Error, RINGS, Result, SQES, io_uring_count, io_uring_memory, io_uring_register_files,
    io_uring_setup, write_mapped,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// IORING_SETUP_SUBMIT_ALL: whether it was set does not show.
const SUBMIT_ALL: u32 = 1 << 7;
/// IORING_REGISTER_BUFFERS.
const REGISTER_BUFFERS: u64 = 0;
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

    /// Buffers are memory of the process, which is filled by now.
    fn apply(&self, _: Context<'_>, _: Pid, fd: FdNum, script: &mut Script<'_>) -> Result<()> {
        if self.buffers.is_empty() {
            return Ok(());
        }
        let vectors = self.buffers.iter().flat_map(|(at, len)| [at.0, u64::from(*len)]);
        let vectors = script.words(&vectors.collect::<Vec<u64>>());
        let (number, count) = (u64::from(fd.0), self.buffers.len() as u64);
        let args = [number.into(), REGISTER_BUFFERS.into(), vectors.into(), Arg::Val(count)];
        script.call(libc::SYS_io_uring_register, args);
        script.breathe()
    }
}

/// Registers the files of one when all are open.
pub(crate) fn register<'a>(
    ring: &IoUring,
    file: impl Fn(FileId) -> Option<&'a OwnedFd>,
) -> Result<()> {
    if ring.places == 0 {
        return Ok(());
    }
    let none = || Error::because("register files with an io_uring instance", "one is not open");
    let mut places = vec![-1; ring.places as usize];
    for (place, id) in &ring.files {
        let taken = places.get_mut(*place as usize).ok_or_else(none)?;
        *taken = file(*id).ok_or_else(none)?.as_raw_fd();
    }
    io_uring_register_files(file(ring.file).ok_or_else(none)?.as_fd(), &places)
}
