//! Sets of addresses as runs: ascending, none empty, none overlapping another.

use std::ops::Range;

/// Hands on each part that a range of the first has in common with one of the second, with the number of that.
pub fn overlaps(one: &[Range<u64>], other: &[Range<u64>], mut with: impl FnMut(Range<u64>, usize)) {
    let mut next = 0;
    for range in one {
        next += other[next..].iter().take_while(|other| other.end <= range.start).count();
        for (at, other) in other.iter().enumerate().skip(next) {
            if other.start >= range.end {
                break;
            }
            with(range.start.max(other.start)..range.end.min(other.end), at);
        }
    }
}

/// What both have.
pub fn both(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    overlaps(one, other, |part, _| all.push(part));
    all
}

/// What the first has and the second, ascending as well, has not.
pub fn without(one: &[Range<u64>], other: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut other = other.into_iter().peekable();
    for range in one {
        let mut at = range.start;
        while let Some(next) = other.peek().filter(|next| next.start < range.end) {
            if next.start > at {
                left.push(at..next.start);
            }
            at = at.max(next.end);
            // It may go on into the next one.
            if next.end > range.end {
                break;
            }
            other.next();
        }
        if at < range.end {
            left.push(at..range.end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_taken_apart() {
        let one = [2..6, 8..12, 20..30];
        for (other, common, left) in [
            (&[][..], vec![], one.to_vec()),
            (&[0..40, 50..60], one.to_vec(), vec![]),
            (
                &[0..2, 3..4, 5..9, 11..20],
                vec![3..4, 5..6, 8..9, 11..12],
                vec![2..3, 4..5, 9..11, 20..30],
            ),
            (&[4..25, 50..60], vec![4..6, 8..12, 20..25], vec![2..4, 25..30]),
        ] {
            assert_eq!(both(&one, other), common);
            assert_eq!(without(&one, other.iter().cloned()), left);
        }
    }
}
