//! How the memory of an io_uring instance is laid out. The kernel does not tell; its size and what stands in it often do.

use crate::{descriptor_of::Problem, file::io_uring::word};
use floe_records::{CQE32, NO_SQARRAY, RingSizes, SQE128};
use floe_sys::RingPlaces;

/// IORING_CQE_F_MORE, _NOTIF, _SKIP and _32.
const GOES_ON: u32 = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 15;
/// Where flags are in a completion.
const FLAGS: usize = 12;
const PAGE: usize = 4096;

/// A quiet instance: as many completions have come as it has taken requests.
pub(crate) struct Ring<'a> {
    sq: u32,
    cq: u32,
    taken: u32,
    rings: &'a [u8],
    sqes: &'a [u8],
    /// Where indices begin, without CQE32 and with it.
    arrays: [usize; 2],
    /// Where its words are, and its completions.
    pub places: RingPlaces,
}

impl<'a> Ring<'a> {
    /// Of its memory.
    pub fn new(
        sq: u32,
        cq: u32,
        taken: u32,
        rings: &'a [u8],
        sqes: &'a [u8],
    ) -> Result<Self, Problem> {
        let (_, places) = floe_sys::io_uring_setup(sq, cq, 0)?;
        let (_, large) = floe_sys::io_uring_setup(sq, cq, CQE32)?;
        let arrays = [places.array, large.array];
        let ring = Self { sq, cq, taken, rings, sqes, arrays, places };
        let fits = [0, CQE32].iter().all(|flags| {
            ring.places.cqes + RingSizes::of(*flags, sq, cq).cqes <= ring.array_at(*flags)
        });
        if !fits || places != (RingPlaces { array: places.array, ..large }) {
            return Err(Problem::new("file.uring", "this kernel lays it out in an unknown form"));
        }
        Ok(ring)
    }

    /// Where the indices of requests begin.
    pub fn array_at(&self, flags: u32) -> usize {
        self.arrays[usize::from(flags & CQE32 != 0)]
    }

    /// The flags that it was set up with, where only these explain what stands in it.
    pub fn flags(&self) -> Option<u32> {
        let all = (0..8).map(|n| {
            let flag = |bit: u32, flag: u32| if n & bit != 0 { flag } else { 0 };
            flag(1, NO_SQARRAY) | flag(2, SQE128) | flag(4, CQE32)
        });
        // With room for one request there is no difference.
        let all = all.filter(|flags| self.sq > 1 || flags & NO_SQARRAY == 0);
        let mut fitting = all.filter(|flags| self.fits(*flags));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    fn fits(&self, flags: u32) -> bool {
        let sizes = RingSizes::of(flags, self.sq, self.cq);
        let (cqes, array) = (self.places.cqes, self.array_at(flags));
        let (rings, end) = (self.rings, array + sizes.array);
        let right_size = rings.len() == end.next_multiple_of(PAGE)
            && self.sqes.len() == sizes.sqes.next_multiple_of(PAGE);
        if !right_size || !is_zero(&self.sqes[sizes.sqes..]) || !is_zero(&rings[end..]) {
            return false;
        }
        let completions = &rings[cqes..cqes + sizes.cqes];
        let (used, unused) = completions.split_at(self.used(self.cq) * sizes.cqe);
        let all_used = used.chunks(sizes.cqe).all(|one| !is_zero(one));
        let gap = &rings[cqes + sizes.cqes..array];
        all_used && is_zero(unused) && is_zero(gap) && self.has_requests(flags, &sizes)
    }

    /// Whether requests are where they have been taken from.
    fn has_requests(&self, flags: u32, sizes: &RingSizes) -> bool {
        let used = self.used(self.sq);
        let at = |n: usize| self.sqes.get(n * sizes.sqe..(n + 1) * sizes.sqe);
        let is_used = |n: usize| at(n).is_some_and(|one| !is_zero(&one[..64]));
        if sizes.array == 0 {
            return (0..used).all(is_used);
        }
        let array = self.array_at(flags);
        let index = |n: usize| word(self.rings, array + 4 * n).unwrap_or(0) as usize;
        let is_first = (0..self.sq as usize).all(|n| index(n) == 0);
        // Without the array they are taken one after the other.
        let one_after_the_other = is_first && used > 1 && is_used(1);
        // With room for one request, only what is behind its first half tells that it is long.
        let long = sizes.sqe == 64 || self.sq > 1 || !is_zero(&self.sqes[64..128]);
        long && !one_after_the_other && (0..used).all(|n| is_used(index(n)))
    }

    /// How many of as many entries have been used.
    fn used(&self, entries: u32) -> usize {
        self.taken.min(entries) as usize
    }

    /// Whether a completion that can still be seen says that it is not the last one, or is no ordinary one.
    pub fn goes_on(&self, flags: u32) -> bool {
        let sizes = RingSizes::of(flags, self.sq, self.cq);
        let all = self.rings[self.places.cqes..].chunks(sizes.cqe).take(self.used(self.cq));
        all.into_iter().any(|one| word(one, FLAGS).unwrap_or(0) & GOES_ON != 0)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
