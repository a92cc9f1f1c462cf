//! How many descriptors restore itself needs, and under which numbers.

use crate::Machine;
use floe_records::*;
use std::collections::BTreeSet;

/// What restore has open beside the files of the tree: the stream, its threads, its helpers.
const OWN: u64 = 64;
/// Below it restore keeps nothing for the tree.
const LOW: u64 = 64;

/// First of the numbers at which restore keeps what is open for the tree. No process has one of them, and no epoll instance
/// remembers one: the first gap that is wide enough.
pub fn base(tree: &Tree) -> u32 {
    u32::try_from(gap(tree).0).unwrap_or(u32::MAX)
}

/// Whether a process has a number in a range, or an epoll instance remembers one.
pub fn uses(tree: &Tree, range: std::ops::RangeInclusive<u32>) -> bool {
    numbers(tree).any(|number| range.contains(&number))
}

fn numbers(tree: &Tree) -> impl Iterator<Item = u32> {
    let watched = tree.all::<Epoll>().iter().flat_map(|epoll| &epoll.watches);
    let numbers = tree.all::<FdTable>().iter().flat_map(|table| &table.fds).map(|fd| fd.fd.0);
    numbers.chain(watched.map(|watch| watch.fd.0))
}

/// The first number of the gap, and the first one behind what restore keeps there.
fn gap(tree: &Tree) -> (u64, u64) {
    let used: BTreeSet<u64> = numbers(tree).map(u64::from).collect();
    let (high, low) = kept(tree);
    let mut base = LOW;
    for number in used.range(LOW..) {
        if base + size(base, high, low) <= *number {
            break;
        }
        base = number + 1;
    }
    (base, base + size(base, high, low))
}

/// What restore opens for itself and for others fills the numbers below the base first.
fn size(base: u64, high: u64, low: u64) -> u64 {
    high + low.saturating_sub(base)
}

/// Restore keeps all files of the tree in a gap between its numbers until each is in its place.
/// Says so where that takes more than restore may have on this machine. `tree` may be the files of a tree alone.
pub fn lacking_descriptors(tree: &Tree, machine: &Machine) -> Option<Finding> {
    let (needed, have) = (needed(tree), machine.descriptors);
    let most = tree.all::<FdTable>().iter().filter_map(|table| table.fds.last());
    let most = most.map(|fd| fd.fd.0).max().unwrap_or(0);
    let problem =
        || format!("the highest one is {most}, restore needs {needed} in all and may have {have}");
    (needed > u64::from(have)).then(|| {
        let finding = Finding::about("descriptors", "plan.descriptors", problem());
        finding.hint("raise the hard limit of open files (RLIMIT_NOFILE) of restore")
    })
}

/// First number that neither restore nor the tree needs.
fn needed(tree: &Tree) -> u64 {
    let most = numbers(tree).max().map_or(0, |most| u64::from(most) + 1);
    gap(tree).1.max(most)
}

/// What restore keeps for the tree, and what else it opens.
fn kept(tree: &Tree) -> (u64, u64) {
    let count = |n: usize| n as u64;
    let mut maps = BTreeSet::new();
    for some in tree.all::<Vmas>() {
        let files = some.vmas.iter().filter(|vma| vma.kind == VmaKind::File);
        // One description for what is mapped for writing, another one for the rest.
        maps.extend(files.filter_map(|vma| mapped(some.pid, vma)));
    }
    let outside = tree.all::<FdTable>().iter().flat_map(|table| &table.fds);
    let outside = outside.filter(|fd| fd.fd.0 <= 2 && tree.get::<External>(fd.file).is_some());
    // A nameless file that is mapped or run is kept among the files, also opened for reading only.
    let vmas = tree.all::<Vmas>().iter().flat_map(|some| &some.vmas);
    let vmas = vmas.filter(|vma| vma.kind == VmaKind::Object);
    let exes = tree.all::<Mm>().iter().map(|mm| &mm.exe).filter(|exe| exe.deleted);
    let mapped: BTreeSet<ObjectId> =
        vmas.filter_map(Vma::object).chain(exes.map(FileRef::object)).collect();
    let objects = count(tree.all::<Object>().len());
    let programs = count(tree.all::<Mm>().len());
    let files = count(tree.all::<OpenFile>().len());
    let high =
        files + count(outside.count()) + count(maps.len()) + programs + 2 * count(mapped.len());
    let roots = tree.all::<Fs>().iter().filter(|fs| fs.root.path.0 != b"/");
    let directories = count(tree.all::<Fs>().len() + roots.count());
    let ends = count(2 * tree.all::<Pipe>().len() + tree.all::<Fifo>().len());
    let sockets = count(tree.all::<UnixSocket>().len());
    // Those through which something is sent late are kept twice, with those of senders that have gone.
    let late = tree.all::<SocketQueue>().iter().any(|queue| !queue.carried.is_empty());
    let sockets = if late { 3 * sockets } else { sockets };
    // One to write to, and the directory of each name.
    let carried = tree.all::<CarriedFile>().iter().map(|carried| 1 + carried.names.len()).sum();
    let removed = count(tree.all::<RemovedNode>().len());
    let low = directories + ends + sockets + objects + removed + count(carried) + OWN;
    // The handle of restore itself.
    (high + 1, low)
}

fn mapped(pid: Pid, vma: &Vma) -> Option<(Pid, &[u8], bool)> {
    let file = vma.file.as_ref()?;
    Some((pid, file.path.0.as_slice(), vma.shared && vma.has(b"mw")))
}
