//! `--leave`: pages that stay where they are, to be asked for when the tree runs elsewhere.

use crate::shared::Runs;
use anyhow::{Context, Result};
use floe_records::{Addr, LeftPages, Pid, Share, Thread, Tree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write,
    path::Path,
};

/// Longest list of locks that the kernel goes through when a thread ends (ROBUST_LIST_LIMIT of linux/futex.h).
const LOCKS: usize = 2048;
/// Words of the head of such a list.
const WORD: u64 = 8;
/// Ranges of one record.
const RANGES: usize = 16 << 10;

/// What stays of each process: addresses from the first one to the first one behind, ascending.
pub type Left = BTreeMap<Pid, Vec<(u64, u64)>>;

/// Where the list of what stays goes.
#[derive(Debug)]
pub struct List(File);

impl List {
    /// A file that is not there yet, or is replaced.
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::create(path);
        Ok(Self(file.with_context(|| format!("unable to write {}", path.display()))?))
    }

    /// Finds what stays, writes it down, and gives the records of it.
    pub fn find(&mut self, tree: &Tree, runs: &Runs) -> Result<(Left, Vec<LeftPages>)> {
        let left = floe_plan::left(tree, runs, locks(tree));
        let mut records = Vec::new();
        let mut text = String::new();
        for (pid, ranges) in &left {
            for some in ranges.chunks(RANGES) {
                let ranges = some.iter().map(|(start, end)| (Addr(*start), end - start)).collect();
                records.push(LeftPages { pid: *pid, ranges });
            }
            for (start, end) in ranges {
                text += &format!("{pid} {start:x}-{end:x}\n");
            }
        }
        self.0.write_all(text.as_bytes()).context("unable to write down what is left")?;
        Ok((left, records))
    }
}

/// Locks that threads hold (set_robust_list(2)): the kernel lets go of those that it finds when they end.
fn locks(tree: &Tree) -> BTreeSet<(Pid, u64)> {
    let mut all = BTreeSet::new();
    for thread in tree.all::<Thread>().iter().filter(|thread| thread.robust_list.0.0 != 0) {
        let pid = tree.owner(thread.pid, Share::Memory);
        let word = |at: u64| {
            let mut word = [0; WORD as usize];
            let read = floe_sys::read_memory_partial(pid.0 as i32, at, &mut word);
            read.is_ok_and(|read| read == word.len()).then(|| u64::from_ne_bytes(word))
        };
        let head = thread.robust_list.0.0;
        let offset = word(head.saturating_add(WORD)).unwrap_or(0);
        let mut add = |entry: u64| all.extend([(pid, entry), (pid, entry.wrapping_add(offset))]);
        // The last bit of an entry tells of what sort the lock is.
        word(head.saturating_add(2 * WORD)).into_iter().for_each(|entry| add(entry & !1));
        let mut next = word(head);
        for _ in 0..LOCKS {
            let Some(entry) = next.map(|entry| entry & !1).filter(|it| *it != head) else { break };
            add(entry);
            next = word(entry);
        }
    }
    all
}
