//! Mappings that come as several records, and what they belong to.

use super::Found;
use crate::vma_at;
use floe_records::*;
use std::collections::BTreeSet;

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
        let rings = tree.vmas(p.pid).filter(|vma| vma.kind == VmaKind::Aio).count();
        let contexts = tree.get::<Aio>(p.pid).map_or(&[][..], |aio| &aio.contexts);
        let is_mapped = |context: &AioContext| {
            vma_at(tree, p.pid, context.at).is_some_and(|vma| {
                let fits = vma.start.0.saturating_add(context.bytes()) <= vma.end.0;
                vma.kind == VmaKind::Aio && vma.start == context.at && fits
            })
        };
        if rings != contexts.len() || !contexts.iter().all(is_mapped) {
            let problem = "its contexts of asynchronous I/O are not those whose rings it maps";
            found.add(|| Finding::of(p.pid, "memory", "plan.aio", problem));
        }
    }
}

/// Whether io_uring instances that are mapped are among the open files.
pub(super) fn rings(tree: &Tree, found: &mut Found) {
    let open: BTreeSet<ObjectId> = tree.all::<IoUring>().iter().map(|ring| ring.ring).collect();
    if open.len() < tree.all::<IoUring>().len() {
        let problem = "two open files are the same io_uring instance";
        found.add(|| Finding::about("the stream", "plan.io_uring", problem));
    }
    for p in tree.living() {
        let mut rings = tree.vmas(p.pid).filter(|vma| vma.kind == VmaKind::Ring);
        let is_open = |vma: &Vma| vma.object().is_some_and(|id| open.contains(&id));
        if !rings.all(is_open) {
            let problem = "it maps an io_uring instance that is not there";
            found.add(|| Finding::of(p.pid, "memory", "plan.reference", problem));
        }
    }
}

/// The io_uring instance that mappings call so.
pub fn ring(tree: &Tree, id: ObjectId) -> Option<FileId> {
    tree.all::<IoUring>().iter().find(|ring| ring.ring == id).map(|ring| ring.file)
}
