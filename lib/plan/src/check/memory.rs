//! Mappings that come as several records.

use super::Found;
use floe_records::*;

/// What each record says of its own mappings it has said itself.
pub(super) fn check(tree: &Tree, found: &mut Found) {
    for p in tree.living() {
        let mut end = Addr(0);
        let overlaps = tree.vmas(p.pid).any(|vma| {
            let overlaps = vma.start < end;
            end = vma.end;
            overlaps
        });
        if tree.owner(p.pid, Share::Memory) != p.pid && tree.vmas(p.pid).next().is_some() {
            let problem = "it has mappings beside those of the process that it shares them with";
            found.add(|| Finding::of(p.pid, "memory", "plan.shares", problem));
        }
        if overlaps {
            let problem = "its mappings overlap or are not in ascending order";
            found.add(|| Finding::of(p.pid, "memory", "plan.vmas", problem));
        }
    }
}
