//! Descriptors and what they lead to.

use super::{Found, has_kind};
use crate::{Machine, descriptors::lacking_descriptors};
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// Longest chain of epoll instances that watch each other (EP_MAX_NESTS of fs/eventpoll.c, and the first one).
const NESTED: u32 = 5;

pub(super) fn check(tree: &Tree, machine: &Machine, found: &mut Found) {
    for p in tree.living() {
        if tree.owner(p.pid, Share::Table) != p.pid && tree.fds(p.pid).next().is_some() {
            let problem = "it has descriptors beside those of the process that it shares them with";
            found.add(|| Finding::of(p.pid, "descriptor table", "plan.shares", problem));
        }
        let mut last = None;
        for fd in tree.fds(p.pid) {
            let mut refuse = |problem: &str| {
                let object = format!("fd {}", fd.fd);
                found.add(|| Finding::of(p.pid, object, "plan.descriptor", problem));
            };
            if last >= Some(fd.fd) {
                refuse("its number is not above those before it");
            }
            if tree.get::<OpenFile>(fd.file).is_none() {
                refuse("names a file that is not in the stream");
            }
            last = Some(fd.fd);
        }
    }
    if let Some(finding) = lacking_descriptors(tree, machine) {
        found.add(|| finding);
    }
    let in_flight: BTreeSet<FileId> =
        tree.all::<SocketQueue>().iter().flat_map(SocketQueue::files).collect();
    for open in tree.all::<OpenFile>() {
        let mut refuse = |problem: &str| {
            found.add(|| Finding::about(tree.describe(open.id), "plan.file", problem))
        };
        if !has_kind(tree, open) {
            refuse("what it is does not stand in the stream");
        }
        if tree.holder(open.id).is_none() && !in_flight.contains(&open.id) {
            refuse("no process has it");
        }
    }
    for carried in tree.all::<CarriedFile>() {
        if tree.get::<Object>(carried.id).is_some() {
            let problem = "it has the number of a file without a name";
            found.add(|| Finding::about(carried.to_string(), "plan.carried", problem));
        }
    }
    let mut told = BTreeSet::new();
    for it in tree.all::<MessageQueue>().iter().filter(|it| it.notified.is_some()) {
        if !told.insert(it.queue) {
            let problem = "two processes are told of the messages of its queue";
            found.add(|| Finding::about(tree.describe(it.file), "plan.queue", problem));
        }
    }
    epoll(tree, found);
    crate::terminals::check(tree, found);
}

/// Whether a file is one that the kernel shows itself in, such as /proc/sys/kernel/hostname: a change of some of them is an event.
fn is_of_kernel(tree: &Tree, file: FileId) -> bool {
    let path = tree.get::<Regular>(file).map(|it| it.name.path.0.as_slice());
    path.is_some_and(|path| path.starts_with(b"/proc/") || path.starts_with(b"/sys/"))
}

/// What can be watched is, and no chain is longer than the kernel lets it be. From those that watch none upwards.
fn epoll(tree: &Tree, found: &mut Found) {
    let all = tree.all::<Epoll>();
    let mut watched_by: BTreeMap<FileId, Vec<&Epoll>> = BTreeMap::new();
    let mut left: BTreeMap<FileId, usize> = BTreeMap::new();
    for epoll in all {
        let mut inner = 0;
        for watch in &epoll.watches {
            let kind = tree.get::<OpenFile>(watch.file).and_then(|open| Kind::of(open.kind));
            let on_disk =
                matches!(kind, Some(Kind::Regular | Kind::Directory | Kind::NamelessFile));
            if on_disk && !is_of_kernel(tree, watch.file) {
                let problem = format!("it watches {}, which cannot be", tree.describe(watch.file));
                found.add(|| Finding::about(tree.describe(epoll.file), "plan.epoll", problem));
            }
            if tree.get::<Epoll>(watch.file).is_some() {
                watched_by.entry(watch.file).or_default().push(epoll);
                inner += 1;
            }
        }
        left.insert(epoll.file, inner);
    }
    let mut ready: Vec<FileId> = left.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
    let mut depths: BTreeMap<FileId, u32> = ready.iter().map(|id| (*id, 1)).collect();
    while let Some(id) = ready.pop() {
        let depth = depths.get(&id).copied().unwrap_or(1);
        for outer in watched_by.get(&id).into_iter().flatten() {
            let deeper = depths.entry(outer.file).or_default();
            *deeper = (*deeper).max(depth + 1);
            if let Some(count) = left.get_mut(&outer.file) {
                *count -= 1;
                if *count == 0 {
                    ready.push(outer.file);
                }
            }
        }
    }
    for epoll in all {
        let circle = left.get(&epoll.file).is_some_and(|count| *count > 0);
        if circle || depths.get(&epoll.file).is_some_and(|depth| *depth > NESTED) {
            let problem = "epoll instances watch each other in a circle, or too deep";
            found.add(|| Finding::about(tree.describe(epoll.file), "plan.epoll", problem));
        }
    }
}
