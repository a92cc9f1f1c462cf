//! Sets of addresses.

use std::collections::BTreeMap;

/// Ranges of addresses, none touching another.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Adds a range, which may overlap with others.
    pub fn insert(&mut self, mut start: u64, mut end: u64) {
        while let Some((&from, &to)) =
            self.0.range(..=end).next_back().filter(|last| *last.1 >= start)
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    /// Whether all of a range is in it.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        self.0.range(..=start).next_back().is_some_and(|last| *last.1 >= end)
    }

    /// Whether a part of a range is in it.
    pub fn meets(&self, start: u64, end: u64) -> bool {
        self.0.range(..end).next_back().is_some_and(|last| *last.1 > start)
    }

    /// Each of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    /// Those that have a part in a range, whole, ascending.
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let first = self.0.range(..=start).next_back().map_or(start, |last| *last.0);
        let some = self.0.range(first..end.max(first));
        some.map(|(start, end)| (*start, *end)).filter(move |range| range.1 > start)
    }

    /// What a range has that is not in it, ascending.
    pub fn gaps(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut gaps, mut at) = (Vec::new(), start);
        for (from, to) in self.within(start, end) {
            if from > at {
                gaps.push((at, from));
            }
            at = to;
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }

    /// Sum of the lengths.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(start, end)| end - start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::default();
        ranges.iter().for_each(|(start, end)| set.insert(*start, *end));
        set
    }

    #[test]
    fn neighbours_become_one() {
        let all = |set: RangeSet| set.iter().collect::<Vec<_>>();
        assert_eq!(all(set(&[(1, 3), (5, 7), (3, 5)])), [(1, 7)]);
        assert_eq!(all(set(&[(1, 3), (5, 7), (2, 9), (20, 21)])), [(1, 9), (20, 21)]);
        assert_eq!(all(set(&[(5, 9), (6, 7), (1, 2)])), [(1, 2), (5, 9)]);
    }

    #[test]
    fn what_is_in_it_and_what_is_not() {
        let set = set(&[(2, 4), (6, 8)]);
        assert!(set.covers(2, 4) && set.covers(3, 4) && !set.covers(3, 5) && !set.covers(2, 8));
        assert!(set.meets(0, 3) && set.meets(3, 7) && !set.meets(4, 6) && !set.meets(8, 9));
        assert_eq!(set.gaps(0, 10), [(0, 2), (4, 6), (8, 10)]);
        assert_eq!(set.gaps(3, 7), [(4, 6)]);
        assert_eq!(set.gaps(6, 8), []);
        assert_eq!(set.within(3, 7).collect::<Vec<_>>(), [(2, 4), (6, 8)]);
        assert_eq!(set.within(4, 6).count(), 0);
        assert_eq!(set.bytes(), 4);
    }
}
