//! Pages that are equal in several processes at the same address, as they are behind fork(2).
//!
//! Where the own pages of two processes lie close to each other, /proc/PID/pagemap tells which of them are mapped by one
//! process alone. All others are read and compared: frames of memory prove nothing, since the kernel may move a page to where
//! another one has just been, and only a privileged process sees them. Of pages that a process has alone only some are
//! compared: those that all children of one parent have written in the same way, each for itself, are few and equal.

use crate::{
    memory::{MemFile, Scanner, Source},
    parallel,
};
use floe_records::{PAGE_SIZE, Pid};
use floe_sys::Result;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    os::fd::AsFd,
    sync::OnceLock,
};
use twox_hash::XxHash3_64;

const PAGE: usize = PAGE_SIZE as usize;
static ZERO: [u8; PAGE] = [0; PAGE];
/// Processes are compared where they have pages in the same part of the address space, of this many bytes.
const CELL: u64 = 1 << 20;
/// Pages that are mapped by one process alone and are compared all the same, for each process.
const ALONE: u32 = 256;
/// Pages that are read at a time, over all processes: what fits in a cache is compared there. Of many processes it is more, for
/// each is opened each time.
const CHUNK: usize = 256;
const CHUNK_OF_EACH: usize = 4;
/// Contents of a page that are compared one by one; more are found by their hashes.
const FEW: usize = 4;
/// Processes, and pages of many of them, that a thread takes at a time.
const AT_ONCE: usize = 4;
/// Words of eight bytes by which two pages may differ to be nearly equal.
const WORDS: usize = 64;

/// Pages of a process that may be equal to those of another one.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The process.
    pub pid: Pid,
    /// Runs of its own pages, ascending, each with a number: only pages with the same number are compared.
    pub own: Vec<(Range<u64>, u32)>,
}

/// Takes the address of a page, its owners, and whether some of them have it nearly like that.
pub type Equals<'a> = dyn FnMut(u64, &[(u32, u32)], bool) + 'a;

/// A page of a process.
#[derive(Clone, Copy)]
struct Page {
    at: u64,
    process: u32,
    sort: u32,
    exclusive: bool,
}

/// Finds pages that are equal in several of these processes, which stand still, and hands them on by ascending address, each
/// with its owners: row of the process, and a number that those with an equal page have in common. Pages of zeros are no such
/// pages. One that a process has alone may differ by some bytes from that of the first one with its number.
///
/// # Errors
/// What cannot be read.
pub fn equal_pages(processes: &[Candidates], found: &mut Equals<'_>) -> Result<()> {
    let cells = cells(processes);
    if cells.is_empty() {
        return Ok(());
    }
    let looks = parallel::each_of(processes.iter().collect(), AT_ONCE, |one| look(one, &cells));
    let looks = looks.collect::<Result<Vec<_>>>()?;
    let mut compare = Compare::new(processes);
    let mut next = vec![0; processes.len()];
    let mut pages: Vec<Page> = Vec::new();
    for (cell, members) in &cells {
        let end = (cell + 1) * CELL;
        for &process in members {
            let (runs, next) = (&looks[process as usize], &mut next[process as usize]);
            take(runs, next, process, cell * CELL..end, &mut pages);
        }
        pages.sort_unstable_by_key(|page| (page.at, page.process));
        compare.all(&pages, found)?;
        pages.clear();
    }
    Ok(())
}

/// Cells in which several processes have pages of their own, with the rows of those processes.
fn cells(processes: &[Candidates]) -> BTreeMap<u64, Vec<u32>> {
    let mut cells: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (row, process) in (0..).zip(processes) {
        for (run, _) in &process.own {
            for cell in run.start / CELL..=(run.end - 1) / CELL {
                let members = cells.entry(cell).or_default();
                if members.last() != Some(&row) {
                    members.push(row);
                }
            }
        }
    }
    cells.retain(|_, members| members.len() > 1);
    cells
}

/// A run of pages, its number, and whether nobody else maps them.
type Run = (Range<u64>, u32, bool);

/// The runs of a process in these cells.
fn look(process: &Candidates, cells: &BTreeMap<u64, Vec<u32>>) -> Result<Vec<Run>> {
    let mut scanner = None;
    let mut runs: Vec<Run> = Vec::new();
    for (run, sort) in &process.own {
        for (cell, _) in cells.range(run.start / CELL..=(run.end - 1) / CELL) {
            let part = run.start.max(cell * CELL)..run.end.min((cell + 1) * CELL);
            let scanner = match &mut scanner {
                Some(scanner) => scanner,
                None => scanner.insert(Scanner::new(process.pid.0)?),
            };
            let exclusive = scanner.exclusive(part)?;
            runs.extend(exclusive.into_iter().map(|(run, exclusive)| (run, *sort, exclusive)));
        }
    }
    Ok(runs)
}

/// Takes the pages of a cell from runs that do not reach out of theirs.
fn take(runs: &[Run], next: &mut usize, process: u32, cell: Range<u64>, pages: &mut Vec<Page>) {
    while let Some((run, sort, exclusive)) = runs.get(*next).filter(|run| run.0.start < cell.end) {
        let (sort, exclusive) = (*sort, *exclusive);
        let all = run.clone().step_by(PAGE);
        pages.extend(all.map(|at| Page { at, process, sort, exclusive }));
        *next += 1;
    }
}

struct Compare<'a> {
    processes: &'a [Candidates],
    /// Pages of each process alone that may still be compared.
    left: Vec<u32>,
    bytes: Vec<u8>,
    /// The memory of as many processes as may be open at a time.
    memories: Vec<OnceLock<MemFile>>,
}

impl<'a> Compare<'a> {
    fn new(processes: &'a [Candidates]) -> Self {
        let limit = floe_sys::get_limit(0, libc::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft / 2);
        let kept = processes.len().min(limit as usize);
        parallel::make_room(std::io::stdin().as_fd(), kept);
        let left = vec![ALONE; processes.len()];
        let memories = (0..kept).map(|_| OnceLock::new()).collect();
        Self { processes, left, bytes: Vec::new(), memories }
    }

    /// Compares pages that ascend by address and process.
    fn all(&mut self, pages: &[Page], found: &mut Equals<'_>) -> Result<()> {
        let mut chunk: Vec<Page> = Vec::new();
        for same in pages.chunk_by(|a, b| a.at == b.at) {
            // Nobody is equal to one alone.
            if same.len() < 2 {
                continue;
            }
            let some = same.iter().filter(|page| {
                let left = &mut self.left[page.process as usize];
                let compared = !page.exclusive || *left > 0;
                *left -= u32::from(page.exclusive && compared);
                compared
            });
            let before = chunk.len();
            chunk.extend(some);
            if chunk.len() - before < 2 {
                chunk.truncate(before);
            }
            if chunk.len() >= CHUNK.max(CHUNK_OF_EACH * self.processes.len()) {
                self.chunk(&mut chunk, found)?;
            }
        }
        self.chunk(&mut chunk, found)
    }

    fn chunk(&mut self, chunk: &mut Vec<Page>, found: &mut Equals<'_>) -> Result<()> {
        // By process for reading, and back by address for comparing.
        let mut order: Vec<usize> = (0..chunk.len()).collect();
        order.sort_unstable_by_key(|at| (chunk[*at].process, chunk[*at].at));
        self.bytes.resize(self.bytes.len().max(chunk.len() * PAGE), 0);
        let mut places = vec![0; chunk.len()];
        order.iter().zip(0..).for_each(|(at, place)| places[*at] = place);
        self.read(chunk, &order)?;
        let content = |at: usize| &self.bytes[places[at] * PAGE..][..PAGE];
        let (mut same, mut at) = (Vec::new(), 0);
        for pages in chunk.chunk_by(|a, b| a.at == b.at) {
            same.push((at, pages));
            at += pages.len();
        }
        let compared = parallel::each_of(same, AT_ONCE, |(at, pages)| {
            (pages[0].at, owners(pages, |n| content(at + n)))
        });
        for (at, (owners, nearly)) in compared.filter(|(_, (owners, _))| !owners.is_empty()) {
            found(at, &owners, nearly);
        }
        chunk.clear();
        Ok(())
    }

    /// Fills the buffer with pages, in this order, which is that of processes.
    fn read(&mut self, chunk: &[Page], order: &[usize]) -> Result<()> {
        let (mut work, mut left) = (Vec::new(), &mut self.bytes[..]);
        for of_one in order.chunk_by(|a, b| chunk[*a].process == chunk[*b].process) {
            let mut ranges: Vec<(u64, u32)> = Vec::new();
            for page in of_one.iter().map(|at| chunk[*at]) {
                match ranges.last_mut() {
                    Some(last) if last.0 + u64::from(last.1) == page.at => last.1 += PAGE as u32,
                    _ => ranges.push((page.at, PAGE as u32)),
                }
            }
            let (into, rest) = left.split_at_mut(of_one.len() * PAGE);
            left = rest;
            work.push((chunk[of_one[0]].process as usize, ranges, into));
        }
        let (processes, memories) = (self.processes, &self.memories);
        let read = |(process, ranges, into): (usize, Vec<_>, &mut [u8])| {
            let kept = memories.get(process);
            if let Some(memory) = kept.and_then(OnceLock::get) {
                return memory.read(&ranges, into);
            }
            let memory = MemFile::open(processes[process].pid)?;
            (&memory).read(&ranges, into)?;
            if let Some(kept) = kept {
                // One thread reads of a process at a time.
                let _ = kept.set(memory);
            }
            Ok(())
        };
        parallel::each_of(work, AT_ONCE, read).collect()
    }
}

/// Those of the owners of a page whose content another one has too, the first of each number in front; and whether some of
/// them have it nearly.
fn owners<'a>(pages: &[Page], content: impl Fn(usize) -> &'a [u8]) -> (Vec<(u32, u32)>, bool) {
    // The first page of each content.
    let mut first: Vec<usize> = Vec::new();
    let mut hashed: HashMap<(u32, u64), Vec<usize>> = HashMap::new();
    let mut owners: Vec<(u32, u32)> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    let mut nearly = false;
    // What is shared already gives the content: it stays so.
    let (alone, shared): (Vec<usize>, Vec<usize>) =
        (0..pages.len()).partition(|n| pages[*n].exclusive);
    for n in shared.into_iter().chain(alone) {
        let (page, bytes) = (&pages[n], content(n));
        if *bytes == ZERO {
            continue;
        }
        let equal = |group: &usize| {
            let other = first[*group];
            pages[other].sort == page.sort && content(other) == bytes
        };
        let near = |group: &usize| {
            let other = first[*group];
            pages[other].sort == page.sort && page.exclusive && differ_little(content(other), bytes)
        };
        let few = 0..first.len().min(FEW);
        let mut group = few.clone().find(equal);
        let key = (group.is_none() && first.len() >= FEW)
            .then(|| (page.sort, XxHash3_64::oneshot(bytes)));
        if let Some(key) = &key {
            group = hashed.get(key).and_then(|some| some.iter().copied().find(equal));
        }
        let like = if group.is_none() { few.clone().find(near) } else { None };
        nearly |= like.is_some();
        let group = group.or(like).unwrap_or_else(|| {
            first.push(n);
            counts.push(0);
            first.len() - 1
        });
        if let Some(key) = key.filter(|_| counts[group] == 0) {
            hashed.entry(key).or_default().push(group);
        }
        counts[group] += 1;
        owners.push((page.process, group as u32));
    }
    owners.retain(|(_, group)| counts[*group as usize] > 1);
    owners.sort_by_key(|(_, group)| *group);
    (owners, nearly)
}

/// Whether two pages are worth being told by their difference.
fn differ_little(a: &[u8], b: &[u8]) -> bool {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    words.filter(|(a, b)| a != b).take(WORDS + 1).count() <= WORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(process: u32, sort: u32) -> Page {
        Page { at: 0x1000, process, sort, exclusive: false }
    }

    #[test]
    fn those_with_the_same_content_are_found() {
        let made = |byte: u8| vec![byte; PAGE];
        let contents = [made(1), made(2), made(1), made(0), made(0), made(2), made(3), made(1)];
        let sorts = [0, 0, 0, 0, 0, 0, 0, 1];
        let pages: Vec<Page> = (0..).zip(sorts).map(|(row, sort)| page(row, sort)).collect();
        let found = owners(&pages, |n| &contents[n]);
        assert_eq!(found, (vec![(0, 0), (2, 0), (1, 1), (5, 1)], false));
    }

    #[test]
    fn what_one_has_alone_may_be_nearly_equal() {
        let made = |at: usize| {
            let mut page = vec![7; PAGE];
            page[at..at + 8 * WORDS].fill(8);
            page
        };
        let far = [vec![8; 8 * WORDS], vec![7; 8], vec![8; PAGE - 8 * WORDS - 8]].concat();
        let contents = [made(64), vec![7; PAGE], vec![7; PAGE], far];
        let mut pages: Vec<Page> = (0..4).map(|row| page(row, 0)).collect();
        let alone = owners(&pages, |n| &contents[n]);
        assert_eq!(alone, (vec![(1, 1), (2, 1)], false), "shared pages are equal or not");
        (pages[0].exclusive, pages[3].exclusive) = (true, true);
        let found = owners(&pages, |n| &contents[n]);
        assert_eq!(found, (vec![(1, 0), (2, 0), (0, 0)], true), "shared pages come first");
    }

    #[test]
    fn many_contents_of_one_page() {
        let contents: Vec<Vec<u8>> = (0..200).map(|n| vec![1 + (n % 100) as u8; PAGE]).collect();
        let pages: Vec<Page> = (0..200).map(|row| page(row, 0)).collect();
        let found = owners(&pages, |n| &contents[n]);
        let (found, nearly) = found;
        let pairs = !nearly && found.iter().all(|(row, group)| row % 100 == *group);
        assert!(found.len() == 200 && pairs, "{found:?}");
    }

    #[test]
    fn cells_that_one_process_has_alone_are_no_business() {
        let one = |pid, own: &[Range<u64>]| Candidates {
            pid: Pid(pid),
            own: own.iter().map(|run| (run.clone(), 0)).collect(),
        };
        let page = 2 * CELL..2 * CELL + 0x1000;
        let all = [one(1, &[0..0x1000, CELL..3 * CELL]), one(2, std::slice::from_ref(&page))];
        assert_eq!(cells(&all), BTreeMap::from([(2, vec![0, 1])]));
    }
}
