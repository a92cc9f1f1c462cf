//! How many descriptors restore itself needs.

use floe_records::*;
use std::collections::BTreeSet;

/// What restore has open beside the files of the tree: the stream, its threads, its helpers.
const OWN: u64 = 64;

/// Above every number that a process has or an epoll instance remembers: there restore keeps what is open for the tree.
pub fn base(tree: &Tree) -> u32 {
    let watched = tree.all::<Epoll>().iter().flat_map(|epoll| &epoll.watches);
    let numbers = tree.all::<FdTable>().iter().flat_map(|table| &table.fds).map(|fd| fd.fd.0);
    let most = numbers.chain(watched.map(|watch| watch.fd.0)).max();
    most.map_or(64, |most| most.saturating_add(1).max(64))
}

/// First number that restore does not need. What it opens for itself and for others fills the numbers below [`base`] first.
pub(crate) fn needed(tree: &Tree) -> u64 {
    let base = u64::from(base(tree));
    let count = |n: usize| n as u64;
    let mut maps = BTreeSet::new();
    for some in tree.all::<Vmas>() {
        let files = some.vmas.iter().filter(|vma| vma.kind == VmaKind::File);
        // One description for what is mapped for writing, another one for the rest.
        maps.extend(files.filter_map(|vma| mapped(some.pid, vma)));
    }
    let outside = tree.all::<FdTable>().iter().flat_map(|table| &table.fds);
    let outside = outside.filter(|fd| fd.fd.0 <= 2 && tree.get::<External>(fd.file).is_some());
    let objects = count(tree.all::<Object>().len());
    let programs = count(tree.all::<Mm>().len());
    let files = count(tree.all::<OpenFile>().len());
    let high = files + count(outside.count()) + count(maps.len()) + programs + 2 * objects;
    let roots = tree.all::<Fs>().iter().filter(|fs| fs.root.path.0 != b"/");
    let directories = count(tree.all::<Fs>().len() + roots.count());
    let ends = count(2 * tree.all::<Pipe>().len() + tree.all::<Fifo>().len());
    let low = directories + ends + count(tree.all::<UnixSocket>().len()) + objects + OWN;
    base + high + low.saturating_sub(base)
}

fn mapped(pid: Pid, vma: &Vma) -> Option<(Pid, &[u8], bool)> {
    let file = vma.file.as_ref()?;
    Some((pid, file.path.0.as_slice(), vma.shared && vma.has(b"mw")))
}
