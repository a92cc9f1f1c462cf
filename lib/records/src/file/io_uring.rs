//! Instances of io_uring (io_uring_setup(2)) in which no request is in flight.

use crate::{Addr, Bytes, FileId, Link, ObjectId, Resource, USER_END, ensure, sane};
use serde::{Deserialize, Serialize};

/// IORING_SETUP_SQE128.
pub const SQE128: u32 = 1 << 10;
/// IORING_SETUP_CQE32.
pub const CQE32: u32 = 1 << 11;
/// IORING_SETUP_NO_SQARRAY.
pub const NO_SQARRAY: u32 = 1 << 16;
/// Most requests that a ring has room for.
const MOST: u32 = 32768;
/// Most requests that are counted up again, one by one: where there is room for many, that takes half a minute.
pub const MOST_TAKEN: u32 = 1 << 30;

/// Most buffers that can be registered, and most bytes of one.
const BUFFERS: usize = 1 << 14;
const BUFFER: u64 = 1 << 30;
/// Most files that can be registered: as many as a process can have open.
const FILES: u32 = 1 << 20;

/// An instance. As many requests have ended as it has taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoUring {
    /// The open file description.
    pub file: FileId,
    /// What mappings call it by; the device is 0.
    pub ring: ObjectId,
    /// SQE128, CQE32 and NO_SQARRAY of IORING_SETUP_*.
    pub flags: u32,
    /// Requests that there is room for.
    pub sq_entries: u32,
    /// Completions that there is room for.
    pub cq_entries: u32,
    /// Requests that have been taken, and completions that have come, modulo 2^32.
    pub taken: u32,
    /// Where the program puts the next request.
    pub sq_tail: u32,
    /// Where the program takes the next completion.
    pub cq_head: u32,
    /// IORING_CQ_*, which the program sets.
    pub cq_flags: u32,
    /// All requests, used or not.
    pub sqes: Bytes,
    /// All completions, used or not.
    pub cqes: Bytes,
    /// Indices of requests, four bytes each; empty with NO_SQARRAY.
    pub array: Bytes,
    /// Places for registered files.
    pub places: u32,
    /// Which of them have a file, ascending: a socket.
    pub files: Vec<(u32, FileId)>,
    /// Registered buffers, in the memory of the one process that has it open, and their bytes; none at (0, 0).
    pub buffers: Vec<(Addr, u32)>,
}

impl IoUring {
    /// Whether it has buffers, or places for files.
    pub fn has_registered(&self) -> bool {
        self.places > 0 || self.has_buffers()
    }

    /// Whether any buffer is registered with it.
    pub fn has_buffers(&self) -> bool {
        self.buffers.iter().any(|(_, len)| *len > 0)
    }
}

/// How large the parts of an instance are, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingSizes {
    /// One request.
    pub sqe: u32,
    /// One completion.
    pub cqe: u32,
    /// All requests.
    pub sqes: u32,
    /// All completions.
    pub cqes: u32,
    /// All indices.
    pub array: u32,
}

impl RingSizes {
    /// Those of an instance with these flags, and room for as many requests and completions.
    pub fn of(flags: u32, sq: u32, cq: u32) -> Self {
        let sqe = if flags & SQE128 == 0 { 64 } else { 128 };
        let cqe = if flags & CQE32 == 0 { 16 } else { 32 };
        let array = if flags & NO_SQARRAY == 0 { 4 * sq } else { 0 };
        Self { sqe, cqe, sqes: sqe * sq, cqes: cqe * cq, array }
    }
}

impl Resource for IoUring {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        self.files.iter().for_each(|(_, file)| visit(Link::File(*file)));
    }

    fn check(&self) -> Result<(), String> {
        let (sq, cq) = (self.sq_entries, self.cq_entries);
        let rooms = sq.is_power_of_two() && cq.is_power_of_two() && sq <= MOST && cq <= 2 * MOST;
        ensure(rooms && sq <= cq, "it has room for an impossible number of requests")?;
        let known = self.flags & !(SQE128 | CQE32 | NO_SQARRAY) == 0;
        ensure(known, "it was set up with flags that it cannot have")?;
        let sizes = RingSizes::of(self.flags, sq, cq);
        let fits = |bytes: &Bytes, size: u32| bytes.0.len() as u64 == u64::from(size);
        let all = fits(&self.sqes, sizes.sqes)
            && fits(&self.cqes, sizes.cqes)
            && fits(&self.array, sizes.array);
        ensure(all, "its content has another size than it has")?;
        ensure(self.taken <= MOST_TAKEN, "it has taken too many requests")?;
        let waiting = self.taken.wrapping_sub(self.cq_head);
        ensure(waiting <= cq.min(self.taken), "more completions wait than there are")?;
        let counts = self.places <= FILES && self.buffers.len() <= BUFFERS;
        ensure(counts, "it has more registered than it can have")?;
        let places = || self.files.iter().map(|(place, _)| *place);
        let are_there = sane::ascending(places()) && places().all(|place| place < self.places);
        ensure(are_there, "a registered file is at no place")?;
        self.buffers.iter().try_for_each(|(at, len)| {
            let inside = at.0 < USER_END && at.0 + u64::from(*len) <= USER_END;
            let is_one = (at.0, *len) == (0, 0) || (*len > 0 && u64::from(*len) <= BUFFER);
            ensure(inside && is_one, "a registered buffer is where none can be")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        let whole = IoUring {
            file: FileId(1),
            ring: ObjectId { dev: 0, ino: 7 },
            flags: 0,
            sq_entries: 2,
            cq_entries: 4,
            taken: 5,
            sq_tail: 5,
            cq_head: 3,
            cq_flags: 0,
            sqes: vec![0; 128].into(),
            cqes: vec![0; 64].into(),
            array: vec![0; 8].into(),
            places: 3,
            files: vec![(2, FileId(4))],
            buffers: vec![(Addr(0x1000), 5), (Addr(0), 0)],
        };
        assert_eq!(whole.check(), Ok(()));
        let changes: [&dyn Fn(&mut IoUring); 12] = [
            &|it| it.places = 2,
            &|it| it.buffers[0].0 = Addr(USER_END - 4),
            &|it| it.buffers[0].1 = 0,
            &|it| it.sq_entries = 3,
            &|it| it.sq_entries = 0,
            &|it| (it.cq_entries, it.cqes) = (1, vec![0; 16].into()),
            &|it| it.flags = 1 << 1,
            &|it| it.flags = SQE128,
            &|it| it.flags = NO_SQARRAY,
            &|it| (it.taken, it.cq_head) = (MOST_TAKEN + 1, MOST_TAKEN),
            &|it| it.cq_head = 0,
            &|it| it.cq_head = 6,
        ];
        for (n, change) in changes.iter().enumerate() {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(changed.check().is_err(), "change {n}");
        }
        let all = SQE128 | CQE32 | NO_SQARRAY;
        let (sqes, cqes) = (vec![0; 256].into(), vec![0; 128].into());
        let large = IoUring { flags: all, sqes, cqes, array: Bytes::default(), ..whole };
        assert_eq!(large.check(), Ok(()));
    }
}
