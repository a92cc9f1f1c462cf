//! Pages that processes of the tree share since fork(2): sent once, and had by children from their parents again.

use crate::piece::Sink;
use anyhow::Result;
use floe_capture::memory::{Candidates, MemFile, Source, equal_pages};
use floe_plan::{Differ, Equal, Heritage, Supply, heritage, sorts};
use floe_records::{BadRange, PAGE_SIZE, Patches, Pid, Process, Ranges, Tree, overlaps};
use floe_worker_pool::parallel;
use std::{collections::BTreeMap, ops::Range};

const PAGE: usize = PAGE_SIZE as usize;
/// Pages that are compared at a time.
const CHUNK: usize = 64;
/// Pairs of processes that are compared at a time.
const PAIRS: usize = 64;
/// Bytes that are equal or not as a whole.
const WORD: usize = 8;
/// Equal bytes between two differences that are sent with them: a range of its own takes more.
const NEAR: usize = 8;

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
    equal_pages(&all, &mut |at, owners, nearly| {
        let end = at + floe_records::PAGE_SIZE;
        match equal.last_mut() {
            Some(last) if last.end == at && last.nearly == nearly && *last.owners == *owners => {
                last.end = end;
            }
            // Pages of one kind, but not of one run.
            Some(last) if *last.owners == *owners => {
                let owners = last.owners.clone();
                equal.push(Equal { start: at, end, owners, nearly });
            }
            _ => equal.push(Equal { start: at, end, owners: owners.into(), nearly }),
        }
    })?;
    Ok(heritage(tree, &equal))
}

/// Runs cut by mappings, with the numbers of these; both ascend.
fn by_sort(runs: &[Range<u64>], sorts: &[(u64, u64, u32)]) -> Vec<(Range<u64>, u32)> {
    let places: Vec<Range<u64>> = sorts.iter().map(|(start, end, _)| *start..*end).collect();
    let mut parts = Vec::new();
    overlaps(runs, &places, |part, at| parts.push((part, sorts[at].2)));
    parts
}

/// What is left of the runs but for these, given as start and end; both ascend.
pub fn without(runs: &[Range<u64>], kept: &[(u64, u64)]) -> Vec<Range<u64>> {
    floe_records::without(runs, kept.iter().map(|(start, end)| *start..*end))
}

/// The runs of one child from one source, for each of these.
pub fn by_source(supplies: &[Supply]) -> impl Iterator<Item = (Pid, Pid, Vec<Range<u64>>)> {
    let some = supplies.chunk_by(|a, b| (a.child, a.from) == (b.child, b.from));
    some.map(|some| {
        let runs = some.iter().map(|supply| supply.start..supply.end).collect();
        (some[0].child, some[0].from, runs)
    })
}

/// Sends by which bytes pages differ from those that were inherited.
pub fn send_differences(differ: &[Differ], sink: &mut impl Sink) -> Result<()> {
    let pairs: Vec<&[Differ]> =
        differ.chunk_by(|a, b| (a.pid, a.from) == (b.pid, b.from)).collect();
    // What is sent must fit into memory.
    for some in pairs.chunks(PAIRS) {
        for patches in parallel::each_of(some.to_vec(), 1, patches) {
            patches?
                .into_iter()
                .try_for_each(|(patches, bytes)| sink.put_bytes(&patches, &bytes))?;
        }
    }
    Ok(())
}

/// By which bytes pages of one process differ from those of another one.
fn patches(differ: &[Differ]) -> Result<Vec<(Patches, Vec<u8>)>> {
    let (pid, from) = (differ[0].pid, differ[0].from);
    let memories = [MemFile::open(pid)?, MemFile::open(from)?];
    let pages = differ.iter().flat_map(|differ| (differ.start..differ.end).step_by(PAGE));
    let pages: Vec<(u64, u32)> = pages.map(|at| (at, PAGE as u32)).collect();
    let (mut all, mut ranges, mut bytes) = (Vec::new(), Ranges::<1>::default(), Vec::new());
    for pages in pages.chunks(CHUNK) {
        let mut contents = [vec![0; pages.len() * PAGE], vec![0; pages.len() * PAGE]];
        for (memory, content) in memories.iter().zip(&mut contents) {
            memory.read(pages, content)?;
        }
        for (at, (own, other)) in pages.iter().zip(pairs(&contents)) {
            for part in differences(own, other) {
                let len = part.len() as u32;
                let pushed = ranges.push(at.0 + part.start as u64, len);
                if pushed == Err(BadRange::Full) {
                    let full = Patches { pid, ranges: std::mem::take(&mut ranges) };
                    all.push((full, std::mem::take(&mut bytes)));
                    ranges.push(at.0 + part.start as u64, len)?;
                } else {
                    pushed?;
                }
                bytes.extend_from_slice(&own[part]);
            }
        }
    }
    if !ranges.is_empty() {
        all.push((Patches { pid, ranges }, bytes));
    }
    Ok(all)
}

/// The pages of two contents, side by side.
fn pairs([own, other]: &[Vec<u8>; 2]) -> impl Iterator<Item = (&[u8], &[u8])> {
    own.chunks(PAGE).zip(other.chunks(PAGE))
}

/// Where two pages differ: ranges of whole words, few of them.
fn differences(own: &[u8], other: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in (0..own.len()).step_by(WORD) {
        let word = at..at + WORD;
        if own[word.clone()] == other[word.clone()] {
            continue;
        }
        match parts.last_mut() {
            Some(last) if word.start - last.end <= NEAR => last.end = word.end,
            _ => parts.push(word),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_by_mappings() {
        let cut =
            by_sort(&[1..5, 7..20, 30..31], &[(0, 3, 1), (3, 10, 2), (12, 15, 3), (18, 40, 4)]);
        let all = [(1..3, 1), (3..5, 2), (7..10, 2), (12..15, 3), (18..20, 4), (30..31, 4)];
        assert_eq!(cut, all);
    }

    #[test]
    fn differences_are_whole_words() {
        let mut own = vec![0; PAGE];
        assert_eq!(differences(&own, &vec![0; PAGE]), []);
        own[3] = 1;
        own[17] = 1;
        own[PAGE - 1] = 1;
        assert_eq!(differences(&own, &vec![0; PAGE]), [0..24, PAGE - 8..PAGE]);
    }

    #[test]
    fn what_is_kept_is_left_out() {
        let left = |kept: &[(u64, u64)]| without(&[2..6, 8..12], kept);
        assert_eq!(left(&[]), [2..6, 8..12]);
        assert_eq!(left(&[(0, 2), (3, 4), (5, 9), (11, 20)]), [2..3, 4..5, 9..11]);
        assert_eq!(left(&[(0, 30)]), []);
    }
}
