//! How many pages of hugetlbfs a tree takes.

use crate::range_set::RangeSet;
use floe_records::*;
use std::collections::BTreeMap;

/// Pages that must be free for all that a restore makes, at least, by their size in bytes. `there` tells which objects it finds
/// instead of making them.
pub fn huge_pages(tree: &Tree, there: impl Fn(ObjectId) -> bool) -> BTreeMap<u64, u64> {
    let mut pages = BTreeMap::new();
    let mut shared: BTreeMap<ObjectId, RangeSet> = BTreeMap::new();
    let vmas = tree.living().flat_map(|p| tree.vmas(p.pid));
    for (vma, huge) in vmas.filter_map(|vma| vma.huge.map(|huge| (vma, huge))) {
        // The kernel reserves what is mapped, unless it is told not to.
        let reserved = !vma.has(b"nr");
        let len = vma.end.0 - vma.start.0;
        if !vma.shared {
            let count = if reserved { huge.count(len) } else { huge.present };
            *pages.entry(huge.size).or_default() += count;
        } else if let Some(file) = vma.file.as_ref().filter(|_| reserved) {
            shared.entry(file.object()).or_default().insert(vma.offset, vma.offset + len);
        }
    }
    for object in tree.all::<Object>().iter().filter(|object| !there(object.id)) {
        let Some(huge) = object.huge else { continue };
        let reserved = shared.get(&object.id).map_or(0, RangeSet::bytes);
        *pages.entry(huge.size).or_default() += huge.count(reserved).max(huge.present);
    }
    pages.retain(|_, count| *count > 0);
    pages
}
