//! Pages that may come when their process runs already.

use crate::{Inheritance, vma_at};
use floe_records::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Mappings with less content than this are not worth it, bytes.
const LEAST: u64 = 64 << 10;
/// Where the stack pointer stands in the registers of a thread.
const STACK_POINTER: std::ops::Range<usize> = 152..160;

/// Whether pages of a mapping may come later: the kernel has us told of each that is missing, and of what becomes of the mapping.
/// Those of files cannot be watched, huge ones not in part; what is locked wants to be there, and what a child finds
/// wiped would be filled for it.
pub fn may_come_later(vma: &Vma) -> bool {
    let anonymous = matches!(vma.kind, VmaKind::Anon | VmaKind::Detached);
    let flags: [&[u8; 2]; 3] = [b"lo", b"wf", b"dp"];
    anonymous && !vma.shared && vma.huge.is_none() && !flags.iter().any(|flag| vma.has(flag))
}

/// Of these records, which may come later; in their order. `may_watch` tells whether memory of a process can be watched.
pub fn later(
    tree: &Tree,
    inheritance: &Inheritance,
    pages: &[&Pages],
    may_watch: impl Fn(Pid) -> bool,
) -> Vec<bool> {
    let watched: BTreeSet<Pid> =
        tree.living().map(|p| p.pid).filter(|pid| may_watch(*pid)).collect();
    let place = |pid: Pid, start: u64, len: u32| {
        let vma = vma_at(tree, pid, Addr(start)).filter(|_| watched.contains(&pid))?;
        let inside = start + u64::from(len) <= vma.end.0;
        let fits = inside && may_come_later(vma) && !inheritance.stays(pid, vma);
        fits.then_some((pid, vma.start))
    };
    let mut content: BTreeMap<(Pid, Addr), u64> = BTreeMap::new();
    let mut places: Vec<Option<Vec<(Pid, Addr)>>> = Vec::with_capacity(pages.len());
    for pages in pages {
        let ranges = pages.ranges.as_slice();
        let some: Option<Vec<_>> =
            ranges.iter().map(|(start, len)| place(pages.pid, *start, *len)).collect();
        for (place, (_, len)) in some.iter().flatten().zip(ranges) {
            *content.entry(*place).or_default() += u64::from(*len);
        }
        places.push(some.map(|mut some| {
            some.dedup();
            some
        }));
    }
    let is_large = |place: &(Pid, Addr)| content.get(place).is_some_and(|bytes| *bytes >= LEAST);
    let large = |some: &Option<Vec<_>>| some.as_ref().is_some_and(|some| some.iter().all(is_large));
    let mut later: Vec<bool> = places.iter().map(large).collect();
    let needed = needed(tree);
    for (later, pages) in later.iter_mut().zip(pages).filter(|(later, _)| **later) {
        let has = |(start, len): &(u64, u32)| {
            let end = start + u64::from(*len);
            needed.range((pages.pid, *start)..(pages.pid, end)).next().is_some()
        };
        *later = !pages.ranges.as_slice().iter().any(has);
    }
    later
}

/// Around what must be there, as much comes with it, bytes.
const AROUND: u64 = 64 << 10;

/// Of runs of pages of each process, ascending, those that may stay where they are until somebody asks for them. `locks` are addresses
/// that must be there besides those that the records name.
pub fn left(
    tree: &Tree,
    runs: &BTreeMap<Pid, Vec<Range<u64>>>,
    locks: BTreeSet<(Pid, u64)>,
) -> BTreeMap<Pid, Vec<(u64, u64)>> {
    let mut needed = needed(tree);
    needed.extend(locks);
    let blocks: BTreeSet<(Pid, u64)> =
        needed.into_iter().map(|(pid, at)| (pid, at - at % AROUND)).collect();
    let mut all = BTreeMap::new();
    for (pid, runs) in runs {
        // The kernel looks at buffers that are registered with io_uring before the process runs.
        if tree.vmas(*pid).any(|vma| vma.kind == VmaKind::Ring) {
            continue;
        }
        let mut left = Vec::new();
        for vma in tree.vmas(*pid).filter(|vma| may_come_later(vma)) {
            let next = runs.partition_point(|run| run.end <= vma.start.0);
            let parts = both(std::slice::from_ref(&(vma.start.0..vma.end.0)), &runs[next..]);
            if parts.iter().map(|part| part.end - part.start).sum::<u64>() >= LEAST {
                let first = vma.start.0.saturating_sub(AROUND - 1);
                let blocks = blocks.range((*pid, first)..(*pid, vma.end.0));
                let blocks = blocks.map(|(_, block)| *block..block + AROUND);
                left.extend(without(&parts, blocks).iter().map(|part| (part.start, part.end)));
            }
        }
        if !left.is_empty() {
            all.insert(*pid, left);
        }
    }
    all
}

/// Addresses that must be there: the kernel waits for no page when a thread ends, and leaves alone what it finds missing then; and
/// what each thread uses first.
fn needed(tree: &Tree) -> BTreeSet<(Pid, u64)> {
    let mut all = BTreeSet::new();
    for thread in tree.all::<Thread>() {
        let pid = tree.owner(thread.pid, Share::Memory);
        let stack = thread.regs.0.get(STACK_POINTER).and_then(|bytes| bytes.try_into().ok());
        let mut words = vec![stack.map_or(0, u64::from_ne_bytes), thread.clear_child_tid.0];
        words.extend([0, 8, 16].map(|word| thread.robust_list.0.0.saturating_add(word)));
        words.extend(thread.rseq.iter().flat_map(|rseq| [rseq.addr.0, rseq.addr.0 + 31]));
        all.extend(words.into_iter().map(|word| (pid, word)));
    }
    all
}
