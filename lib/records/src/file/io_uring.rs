//! Instances of io_uring (io_uring_setup(2)) in which no request is in flight.

use crate::{Bytes, FileId, ObjectId, Resource, ensure};
use serde::{Deserialize, Serialize};

/// IORING_SETUP_SQE128.
pub const SQE128: u32 = 1 << 10;
/// IORING_SETUP_CQE32.
pub const CQE32: u32 = 1 << 11;
/// IORING_SETUP_NO_SQARRAY.
pub const NO_SQARRAY: u32 = 1 << 16;
/// Most requests that a ring has room for.
const MOST: u32 = 32768;
/// Most requests that are counted up again: what takes longer than half a minute is refused.
pub const MOST_TAKEN: u32 = 1 << 30;

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
        ensure(waiting <= cq.min(self.taken), "more completions wait than there are")
    }
}
