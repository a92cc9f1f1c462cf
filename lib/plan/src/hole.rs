//! A range of addresses that is free in every process and in restore itself.

use floe_records::{Process, Tree};

/// Bytes of the hole that restore borrows in every process: code, arena, parking for the vdso.
pub const HOLE: u64 = 0x80000;
/// Distance to every mapping, so that none merges or grows into it.
const DISTANCE: u64 = 0x10_0000;
const LOW: u64 = 0x1000_0000;
const HIGH: u64 = 0x7fff_0000_0000;

/// Its address; `None` where no such range is left.
pub(crate) fn find(tree: &Tree, taken: &[(u64, u64)]) -> Option<u64> {
    let vmas = tree.all::<Process>().iter().flat_map(|p| tree.vmas(p.pid));
    let mut ranges: Vec<(u64, u64)> = vmas.map(|vma| (vma.start.0, vma.end.0)).collect();
    ranges.extend_from_slice(taken);
    ranges.sort_unstable();
    let mut at = LOW;
    for (start, end) in ranges {
        if start >= at.checked_add(HOLE + DISTANCE)? {
            break;
        }
        if end.saturating_add(DISTANCE) > at {
            at = end.checked_add(2 * DISTANCE)? & !0xffff;
        }
    }
    (at + HOLE + DISTANCE <= HIGH).then_some(at)
}
