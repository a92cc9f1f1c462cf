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

/// Whether what is registered with io_uring instances can be: sockets, and memory of the process that has it open.
pub(super) fn registered(tree: &Tree, found: &mut Found) {
    for ring in tree.all::<IoUring>() {
        let object = || tree.describe(ring.file);
        let is_socket = |id: FileId| {
            let kind = tree.get::<OpenFile>(id).and_then(|open| Kind::of(open.kind));
            kind.is_some_and(|kind| SOCKETS.contains(&kind))
        };
        if !ring.files.iter().all(|(_, id)| is_socket(*id)) {
            let problem = "a file that is registered with it is no socket";
            found.add(|| Finding::about(object(), "plan.io_uring", problem));
        }
        let Some((pid, _)) = tree.holder(ring.file).filter(|_| ring.has_buffers()) else {
            continue;
        };
        let runs = writable(tree, tree.owner(pid, Share::Memory));
        let is_memory = |at: u64, len: u64| {
            let next = runs.partition_point(|(_, end)| *end <= at);
            runs.get(next).is_some_and(|(start, end)| *start <= at && at + len <= *end)
        };
        let mut buffers = ring.buffers.iter().filter(|(_, len)| *len > 0);
        if !buffers.all(|(at, len)| is_memory(at.0, u64::from(*len))) {
            let problem = "a buffer that is registered with it is no memory that can be written to";
            found.add(|| Finding::about(object(), "plan.io_uring", problem));
        }
    }
}

/// What can be registered with an io_uring instance.
const SOCKETS: [Kind; 7] = [
    Kind::UnixSocket,
    Kind::TcpSocket,
    Kind::UdpSocket,
    Kind::DatagramSocket,
    Kind::NetlinkSocket,
    Kind::PacketSocket,
    Kind::MptcpSocket,
];

/// PROT_WRITE of mmap(2).
const WRITE: u8 = 2;

/// Memory of a process that can be written to, as long as it goes on.
fn writable(tree: &Tree, pid: Pid) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for vma in tree.vmas(pid).filter(|vma| vma.prot & WRITE != 0) {
        match runs.last_mut() {
            Some((_, end)) if *end == vma.start.0 => *end = vma.end.0,
            _ => runs.push((vma.start.0, vma.end.0)),
        }
    }
    runs
}

/// The io_uring instance that mappings call so.
pub fn ring(tree: &Tree, id: ObjectId) -> Option<FileId> {
    tree.all::<IoUring>().iter().find(|ring| ring.ring == id).map(|ring| ring.file)
}
