//! What is not in place yet in one address space.

use std::collections::{BTreeMap, BTreeSet};

/// Pages whose content stands in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Bytes.
    pub len: u64,
    /// The run.
    pub run: u32,
    /// Where in it, bytes.
    pub at: u64,
}

/// Pages that are not in place, by the addresses where they belong now.
#[derive(Clone, Default, Debug)]
pub struct Pending {
    pieces: BTreeMap<u64, Piece>,
    of_run: BTreeSet<(u32, u64)>,
}

impl Pending {
    /// Of pieces that do not overlap.
    pub fn new(pieces: impl IntoIterator<Item = (u64, Piece)>) -> Self {
        let pieces: BTreeMap<u64, Piece> = pieces.into_iter().collect();
        let of_run = pieces.iter().map(|(start, piece)| (piece.run, *start)).collect();
        Self { pieces, of_run }
    }

    /// Whether all is in place.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The run that has the page at an address.
    pub fn run_at(&self, at: u64) -> Option<u32> {
        let (start, piece) = self.pieces.range(..=at).next_back()?;
        (at < start + piece.len).then_some(piece.run)
    }

    /// Whether anything of a run is not in place.
    pub fn has(&self, run: u32) -> bool {
        self.of_run.range((run, 0)..=(run, u64::MAX)).next().is_some()
    }

    /// The pieces of a run that are not in place.
    pub fn of(&self, run: u32) -> Vec<(u64, Piece)> {
        let starts = self.of_run.range((run, 0)..=(run, u64::MAX)).map(|(_, start)| *start);
        starts.filter_map(|start| Some((start, *self.pieces.get(&start)?))).collect()
    }

    /// Forgets what belongs into a range, because it is in place or never will be.
    pub fn remove(&mut self, start: u64, end: u64) {
        drop(self.take(start, end));
    }

    /// What belonged into a range belongs elsewhere now.
    pub fn shift(&mut self, from: u64, to: u64, len: u64) {
        let moved = self.take(from, from.saturating_add(len));
        self.remove(to, to.saturating_add(len));
        for (start, piece) in moved {
            self.insert(to + (start - from), piece);
        }
    }

    /// Takes out what belongs into a range.
    fn take(&mut self, start: u64, end: u64) -> Vec<(u64, Piece)> {
        let below = self.pieces.range(..start).next_back();
        let below = below.filter(|(at, piece)| *at + piece.len > start).map(|(at, _)| *at);
        let inside = self.pieces.range(start..end.max(start)).map(|(at, _)| *at);
        let starts: Vec<u64> = below.into_iter().chain(inside).collect();
        let mut taken = Vec::with_capacity(starts.len());
        for at in starts {
            let Some(piece) = self.pieces.remove(&at) else { continue };
            self.of_run.remove(&(piece.run, at));
            let last = at + piece.len;
            let (from, to) = (at.max(start), last.min(end));
            let part = |from: u64, to: u64| {
                (from, Piece { len: to - from, run: piece.run, at: piece.at + (from - at) })
            };
            for (from, to) in [(at, from), (to, last)] {
                if from < to {
                    let (from, piece) = part(from, to);
                    self.insert(from, piece);
                }
            }
            taken.push(part(from, to));
        }
        taken
    }

    fn insert(&mut self, start: u64, piece: Piece) {
        self.pieces.insert(start, piece);
        self.of_run.insert((piece.run, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn pages(start: u64, count: u64, run: u32, at: u64) -> (u64, Piece) {
        (start * PAGE, Piece { len: count * PAGE, run, at: at * PAGE })
    }

    fn pending() -> Pending {
        Pending::new([pages(16, 8, 0, 0), pages(24, 4, 1, 0), pages(40, 2, 0, 8)])
    }

    #[test]
    fn a_page_is_found_by_its_address() {
        let all = pending();
        assert_eq!(all.run_at(16 * PAGE), Some(0));
        assert_eq!(all.run_at(24 * PAGE + 17), Some(1));
        assert_eq!(all.run_at(28 * PAGE), None);
        assert_eq!(all.run_at(41 * PAGE), Some(0));
        assert_eq!(all.run_at(0), None);
        assert_eq!(all.of(0), [pages(16, 8, 0, 0), pages(40, 2, 0, 8)]);
        assert!(all.has(1) && !all.has(2));
    }

    #[test]
    fn a_hole_leaves_both_sides() {
        let mut all = pending();
        all.remove(18 * PAGE, 25 * PAGE);
        assert_eq!(all.of(0), [pages(16, 2, 0, 0), pages(40, 2, 0, 8)]);
        assert_eq!(all.of(1), [pages(25, 3, 1, 1)]);
        all.remove(17 * PAGE, 18 * PAGE);
        assert_eq!(all.of(0), [pages(16, 1, 0, 0), pages(40, 2, 0, 8)]);
        all.remove(0, u64::MAX);
        assert!(all.is_empty() && !all.has(0) && !all.has(1));
    }

    #[test]
    fn what_was_moved_is_found_where_it_is() {
        let mut all = pending();
        // Into the middle of what was there.
        all.shift(20 * PAGE, 40 * PAGE, 6 * PAGE);
        assert_eq!(all.of(0), [pages(16, 4, 0, 0), pages(40, 4, 0, 4)]);
        assert_eq!(all.of(1), [pages(26, 2, 1, 2), pages(44, 2, 1, 0)]);
        // Onto itself, a page further.
        all.shift(40 * PAGE, 41 * PAGE, 6 * PAGE);
        assert_eq!(all.run_at(40 * PAGE), None);
        assert_eq!(all.of(0), [pages(16, 4, 0, 0), pages(41, 4, 0, 4)]);
    }

    /// Against a model that knows each page.
    #[test]
    fn any_order_of_changes() {
        let mut model: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        let mut all = pending();
        for (start, piece) in [pages(16, 8, 0, 0), pages(24, 4, 1, 0), pages(40, 2, 0, 8)] {
            for page in 0..piece.len / PAGE {
                model.insert(start / PAGE + page, (piece.run, piece.at / PAGE + page));
            }
        }
        let mut state = 12345u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            let (from, to, len) = (random(60), random(60), random(9) + 1);
            if random(4) == 0 {
                all.remove(from * PAGE, (from + 1) * PAGE);
                model.remove(&from);
            } else {
                all.shift(from * PAGE, to * PAGE, len * PAGE);
                let moved: Vec<_> = (0..len).map(|page| model.remove(&(from + page))).collect();
                for (page, content) in (to..).zip(moved) {
                    model.remove(&page);
                    model.extend(content.map(|content| (page, content)));
                }
            }
            if model.is_empty() {
                all = Pending::new([pages(20, 8, 3, 0)]);
                model.extend((0..8).map(|page| (20 + page, (3, page))));
            }
            let mut own = BTreeMap::new();
            for (start, piece) in [0, 1, 3].into_iter().flat_map(|run| all.of(run)) {
                for page in 0..piece.len / PAGE {
                    own.insert(start / PAGE + page, (piece.run, piece.at / PAGE + page));
                }
            }
            assert_eq!(own, model);
        }
    }
}
