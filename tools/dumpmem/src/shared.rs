//! Pages that processes of the tree share since fork(2): sent once, and had by children from their parents again.

use anyhow::Result;
use floe_capture::memory::{Candidates, equal_pages};
use floe_plan::{Equal, Heritage, Supply, heritage, sorts};
use floe_records::{Pid, Process, Tree};
use std::{collections::BTreeMap, ops::Range};

/// Runs of own pages of each process, ascending.
pub type Runs = BTreeMap<Pid, Vec<Range<u64>>>;

/// Finds what is shared, and by whom it is to be inherited.
pub fn find(tree: &Tree, runs: &Runs) -> Result<Heritage> {
    if tree.living().nth(1).is_none() {
        return Ok(Heritage::default());
    }
    let sorts = sorts(tree);
    let candidates = |p: &Process| {
        let (runs, sorts) = (runs.get(&p.pid), sorts.get(&p.pid));
        let own = runs.zip(sorts).map(|(runs, sorts)| by_sort(runs, sorts));
        Candidates { pid: p.pid, own: own.unwrap_or_default() }
    };
    let all: Vec<Candidates> = tree.all::<Process>().iter().map(candidates).collect();
    let mut equal: Vec<Equal> = Vec::new();
    equal_pages(&all, &mut |at, owners| {
        let end = at + floe_records::PAGE_SIZE;
        match equal.last_mut() {
            Some(last) if last.end == at && *last.owners == *owners => last.end = end,
            // Pages of one kind, but not of one run.
            Some(last) if *last.owners == *owners => {
                let owners = last.owners.clone();
                equal.push(Equal { start: at, end, owners });
            }
            _ => equal.push(Equal { start: at, end, owners: owners.into() }),
        }
    })?;
    Ok(heritage(tree, &equal))
}

/// Runs cut by mappings, with the numbers of these; both ascend.
fn by_sort(runs: &[Range<u64>], sorts: &[(u64, u64, u32)]) -> Vec<(Range<u64>, u32)> {
    let mut parts = Vec::new();
    let mut next = 0;
    for &(start, end, sort) in sorts {
        next += runs[next..].iter().take_while(|run| run.end <= start).count();
        let some = runs[next..].iter().take_while(|run| run.start < end);
        parts.extend(some.map(|run| (run.start.max(start)..run.end.min(end), sort)));
    }
    parts
}

/// What is left of the runs; both ascend.
pub fn without(runs: &[Range<u64>], kept: &[(u64, u64)]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut next = 0;
    for run in runs {
        let mut at = run.start;
        next += kept[next..].iter().take_while(|kept| kept.1 <= at).count();
        for &(start, end) in kept[next..].iter().take_while(|kept| kept.0 < run.end) {
            if start > at {
                left.push(at..start);
            }
            at = end;
        }
        if at < run.end {
            left.push(at..run.end);
        }
    }
    left
}

/// The runs of one child from one source, for each of these.
pub fn by_source(supplies: &[Supply]) -> impl Iterator<Item = (Pid, Pid, Vec<Range<u64>>)> {
    let some = supplies.chunk_by(|a, b| (a.child, a.from) == (b.child, b.from));
    some.map(|some| {
        let runs = some.iter().map(|supply| supply.start..supply.end).collect();
        (some[0].child, some[0].from, runs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_by_mappings() {
        let cut = by_sort(&[1..5, 7..20, 30..31], &[(0, 3, 1), (3, 10, 2), (12, 15, 3), (18, 40, 4)]);
        let all = [(1..3, 1), (3..5, 2), (7..10, 2), (12..15, 3), (18..20, 4), (30..31, 4)];
        assert_eq!(cut, all);
    }

    #[test]
    fn what_is_kept_is_left_out() {
        let left = |kept: &[(u64, u64)]| without(&[2..6, 8..12], kept);
        assert_eq!(left(&[]), [2..6, 8..12]);
        assert_eq!(left(&[(0, 2), (3, 4), (5, 9), (11, 20)]), [2..3, 4..5, 9..11]);
        assert_eq!(left(&[(2, 6)]), [8..12]);
        assert_eq!(left(&[(0, 30)]), []);
    }
}
