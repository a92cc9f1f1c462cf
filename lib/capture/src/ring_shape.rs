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
            ring.places.cqes + RingSizes::of(*flags, sq, cq).cqes as usize <= ring.array_at(*flags)
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
        let possible: Vec<u32> = all.filter(|flags| self.can_have(*flags)).collect();
        if let [only] = possible[..] {
            return Some(only);
        }
        let mut likely = possible.into_iter().filter(|flags| self.explain(*flags));
        likely.next().filter(|_| likely.next().is_none())
    }

    /// Whether its memory has the size that flags make it have, and nothing where nothing has ever been written.
    fn can_have(&self, flags: u32) -> bool {
        let sizes = RingSizes::of(flags, self.sq, self.cq);
        let (rings, array) = (self.rings, self.array_at(flags));
        let (end, requests) = (array + sizes.array as usize, sizes.sqes as usize);
        let unused = self.places.cqes + self.used(self.cq) * sizes.cqe as usize;
        rings.len() == end.next_multiple_of(PAGE)
            && self.sqes.len() == requests.next_multiple_of(PAGE)
            && is_zero(&self.sqes[requests..])
            && is_zero(&rings[end..])
            && is_zero(&rings[unused..array])
    }

    /// Whether flags that it can have say why something stands where it stands: in entries that have been used.
    fn explain(&self, flags: u32) -> bool {
        let sizes = RingSizes::of(flags, self.sq, self.cq);
        let completions = self.rings[self.places.cqes..].chunks(sizes.cqe as usize);
        if completions.take(self.used(self.cq)).any(is_zero) {
            return false;
        }
        let (used, size) = (self.used(self.sq), sizes.sqe as usize);
        let is_used =
            |n: usize| self.sqes.get(n * size..n * size + 64).is_some_and(|it| !is_zero(it));
        if sizes.array == 0 {
            return (0..used).all(is_used);
        }
        let array = self.array_at(flags);
        let index = |n: usize| word(self.rings, array + 4 * n).unwrap_or(0) as usize;
        // Without the array they are taken one after the other.
        let is_first = (0..self.sq as usize).all(|n| index(n) == 0);
        let one_after_the_other = is_first && used > 1 && is_used(1);
        // With room for one request, only what is behind its first half tells that it is long.
        let is_long = size == 64 || self.sq > 1 || !is_zero(&self.sqes[64..128]);
        is_long && !one_after_the_other && (0..used).all(|n| is_used(index(n)))
    }

    /// How many of as many entries have been used.
    fn used(&self, entries: u32) -> usize {
        self.taken.min(entries) as usize
    }

    /// Whether a completion that can still be seen says that it is not the last one, or is no ordinary one.
    pub fn goes_on(&self, flags: u32) -> bool {
        let sizes = RingSizes::of(flags, self.sq, self.cq);
        let all =
            self.rings[self.places.cqes..].chunks(sizes.cqe as usize).take(self.used(self.cq));
        all.into_iter().any(|one| word(one, FLAGS).unwrap_or(0) & GOES_ON != 0)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQ: u32 = 4;
    const CQ: u32 = 8;

    /// Memory as the kernel and a program leave it that has made as many requests, each with its number.
    fn memory(flags: u32, taken: u32) -> (Vec<u8>, Vec<u8>) {
        let (mut rings, mut sqes) = (vec![0; PAGE], vec![0; PAGE]);
        let (_, places) = floe_sys::io_uring_setup(SQ, CQ, flags).unwrap();
        let sizes = RingSizes::of(flags, SQ, CQ);
        for n in 0..taken {
            let (slot, place) = ((n % SQ) as usize, (n % CQ) as usize);
            sqes[slot * sizes.sqe as usize + 32] = 1 + n as u8;
            rings[places.cqes + place * sizes.cqe as usize] = 1 + n as u8;
            if flags & NO_SQARRAY == 0 {
                rings[places.array + 4 * slot] = slot as u8;
            }
        }
        (rings, sqes)
    }

    fn found(taken: u32, (rings, sqes): &(Vec<u8>, Vec<u8>)) -> Option<u32> {
        Ring::new(SQ, CQ, taken, rings, sqes).unwrap().flags()
    }

    /// Not where io_uring is disabled.
    fn is_there() -> bool {
        floe_sys::io_uring_setup(SQ, CQ, 0).is_ok()
    }

    #[test]
    fn what_has_been_used_tells_the_form() {
        for flags in [0, SQE128, CQE32, NO_SQARRAY, SQE128 | CQE32, SQE128 | CQE32 | NO_SQARRAY] {
            for taken in [3, 4, 5, 8, 9, 40] {
                if is_there() {
                    let all = memory(flags, taken);
                    assert_eq!(found(taken, &all), Some(flags), "{flags:x}, {taken} requests");
                }
            }
        }
    }

    #[test]
    fn what_tells_nothing_is_no_form() {
        if is_there() {
            assert_eq!(found(0, &memory(0, 0)), None);
            assert_eq!(found(1, &memory(0, 1)), None);
            // Requests without a trace.
            let (rings, mut sqes) = memory(0, 9);
            sqes.fill(0);
            assert_eq!(found(9, &(rings, sqes)), None);
            // Completions all zero: it may be any.
            let (mut rings, sqes) = memory(0, 9);
            rings.fill(0);
            assert_eq!(found(9, &(rings, sqes)), None);
        }
    }

    #[test]
    fn completions_that_are_not_the_last_ones_are_seen() {
        if is_there() {
            let (mut rings, sqes) = memory(0, 9);
            let ring = Ring::new(SQ, CQ, 9, &rings, &sqes).unwrap();
            let at = ring.places.cqes + 16 * 3 + FLAGS;
            assert!(!ring.goes_on(0));
            rings[at] = 2;
            assert!(Ring::new(SQ, CQ, 9, &rings, &sqes).unwrap().goes_on(0));
        }
    }
}
