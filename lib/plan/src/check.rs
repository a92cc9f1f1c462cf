//! Whether the metadata is whole: input from a stranger, of which nothing is believed.
//!
//! What a record must be in itself it says itself ([`Resource::check`]), and what else it names too ([`Resource::links`]).
//! Here it is all asked, and that is checked which concerns several records. Each check takes time and memory in
//! proportion to what was sent, and none goes deeper the deeper the input is.

mod files;
mod ids;
mod memory;
mod pid_spaces;
mod rights;
mod sockets;
mod stream;

pub use memory::ring;

use crate::{Extent, Machine};
use floe_records::*;
use std::collections::BTreeSet;

/// Findings that are told one by one.
const MOST: usize = 100;

/// What stands in the way, up to a bound: a stranger's stream must not make us say more than it does.
#[derive(Default)]
pub(crate) struct Found {
    all: Vec<Finding>,
    more: usize,
}

impl Found {
    /// Notes one.
    pub fn add(&mut self, finding: impl FnOnce() -> Finding) {
        if self.all.len() < MOST { self.all.push(finding()) } else { self.more += 1 }
    }

    /// All of them as a refusal, where there are any.
    pub fn refusals(mut self) -> Result<(), Refusals> {
        if self.more > 0 {
            let problem = format!("{} more such faults", self.more);
            self.all.push(Finding::about("the stream", "plan.more", problem));
        }
        if self.all.is_empty() { Ok(()) } else { Err(Refusals(self.all)) }
    }
}

/// Notes everything that makes the metadata not whole.
pub(crate) fn check(tree: &Tree, machine: &Machine, extent: Extent, found: &mut Found) {
    stream::check(tree, machine, extent, found);
    crate::cpu::check(tree, machine, found);
    ids::check(tree, machine, found);
    records(tree, extent, found);
    memory::check(tree, found);
    pid_spaces::check(tree, found);
    rights::check(tree, machine, found);
    if extent == Extent::Whole {
        memory::rings(tree, found);
        memory::registered(tree, found);
        files::check(tree, machine, found);
        sockets::check(tree, found);
        sockets::connections(tree, machine, found);
    }
}

/// What a record belongs to.
enum Belongs {
    /// Nothing but the stream.
    Stream,
    /// A process that lives.
    Process(Pid),
    /// A thread of it.
    Thread(Pid, Tid),
    /// A description of this kind.
    File(FileId, u16),
    /// A descriptor, or the description behind it.
    On(Attached),
}

impl Belongs {
    fn pid(&self) -> Option<Pid> {
        match self {
            Belongs::Process(pid) | Belongs::Thread(pid, _) => Some(*pid),
            Belongs::On(Attached::Descriptor(pid, _)) => Some(*pid),
            _ => None,
        }
    }

    fn exists(&self, tree: &Tree) -> bool {
        match *self {
            Belongs::Stream => true,
            Belongs::Process(pid) => lives(tree, pid),
            Belongs::Thread(pid, tid) => lives(tree, pid) && is_thread(tree, pid, tid),
            Belongs::File(id, kind) => {
                tree.get::<OpenFile>(id).is_some_and(|open| open.kind == kind)
            }
            Belongs::On(Attached::Description(id)) => tree.get::<OpenFile>(id).is_some(),
            Belongs::On(Attached::Descriptor(pid, fd)) => tree.fd(pid, fd).is_some(),
        }
    }
}

fn lives(tree: &Tree, pid: Pid) -> bool {
    tree.get::<Process>(pid).is_some_and(|p| !matches!(p.state, State::Zombie(_)))
}

fn is_thread(tree: &Tree, pid: Pid, tid: Tid) -> bool {
    tree.get::<Thread>(tid).is_some_and(|thread| thread.pid == pid)
}

/// What is wrong with something that a record names.
fn missing(tree: &Tree, extent: Extent, link: Link) -> Option<String> {
    let there = match link {
        Link::Process(pid) => lives(tree, pid),
        Link::Member(pid) => tree.get::<Process>(pid).is_some(),
        Link::Thread(pid, tid) => is_thread(tree, pid, tid),
        Link::File(id) => tree.get::<OpenFile>(id).is_some(),
        Link::Object(id) => extent == Extent::Frozen || tree.get::<Object>(id).is_some(),
        Link::Removed(id) => extent == Extent::Frozen || tree.get::<RemovedNode>(id).is_some(),
        Link::Nameless(id) => {
            let is_made = tree.get::<Object>(id).is_some() || tree.get::<RemovedNode>(id).is_some();
            extent == Extent::Frozen || is_made
        }
        Link::Queue(id) => extent == Extent::Frozen || tree.get::<Queue>(id).is_some(),
        Link::Descriptor(pid, fd, file) => {
            lives(tree, pid) && tree.fd(pid, fd).is_some_and(|fd| fd.file == file)
        }
        Link::Namespace(id, kind) => {
            tree.get::<Namespace>(id).is_some_and(|space| space.kind == kind)
        }
    };
    if there {
        return None;
    }
    let what = match link {
        Link::Process(pid) | Link::Member(pid) => format!("process {pid}"),
        Link::Thread(pid, tid) => format!("thread {tid} of {pid}"),
        Link::File(id) => format!("open file {id}"),
        Link::Object(id) | Link::Nameless(id) => {
            format!("the file {}:{} without a name", id.dev, id.ino)
        }
        Link::Removed(id) => format!("the removed file {}:{}", id.dev, id.ino),
        Link::Queue(id) => format!("the message queue {}:{}", id.dev, id.ino),
        Link::Descriptor(pid, fd, file) => format!("fd {fd} of {pid}, for open file {file}"),
        Link::Namespace(id, kind) => format!("{} namespace {id}", kind.name()),
    };
    Some(format!("it names {what}, which the stream does not have"))
}

/// All records of a kind, one by one.
fn each<T: Record>(tree: &Tree, extent: Extent, owner: impl Fn(&T) -> Belongs, found: &mut Found) {
    let module = Kind::of(T::KIND).map_or("record", Kind::module);
    for row in tree.all::<T>() {
        let owner = owner(row);
        let finding = |rule: &str, problem: String| {
            let object = match owner {
                Belongs::File(id, _) | Belongs::On(Attached::Description(id)) => tree.describe(id),
                Belongs::On(Attached::Descriptor(_, fd)) => format!("fd {fd}"),
                Belongs::Thread(pid, tid) if tid.0 != pid.0 => {
                    format!("{} of thread {tid}", T::NAME)
                }
                _ => T::NAME.to_owned(),
            };
            Finding { pid: owner.pid(), ..Finding::about(object, rule, problem) }
        };
        if !owner.exists(tree) {
            let problem = format!("a record of kind {} is of nothing in the tree", T::NAME);
            found.add(|| finding("plan.orphan", problem));
        }
        if let Err(problem) = row.check() {
            found.add(|| finding(&format!("plan.{module}"), problem));
        }
        row.links(&mut |link| {
            if let Some(problem) = missing(tree, extent, link) {
                found.add(|| finding("plan.reference", problem));
            }
        });
    }
}

/// A stream that has no record of a kind that it must have: most likely the kind is younger than what wrote it.
fn is_old<T: Record>(tree: &Tree, found: &mut Found) -> bool {
    let old = tree.all::<T>().is_empty() && !tree.all::<Thread>().is_empty();
    if old {
        let problem = format!("it has no record {}: an older release has written it", T::NAME);
        let finding = Finding::about("the stream", "plan.release", problem);
        found.add(|| finding.hint("restore it by that release"));
    }
    old
}

/// Every living process has a record of each kind of its scope.
fn all_have<T: Record>(tree: &Tree, pid: impl Fn(&T) -> Pid, found: &mut Found) {
    if is_old::<T>(tree, found) {
        return;
    }
    let have: BTreeSet<Pid> = tree.all::<T>().iter().map(pid).collect();
    for p in tree.living().filter(|p| !have.contains(&p.pid)) {
        let problem = format!("its record {} is missing", T::NAME);
        found.add(|| Finding::of(p.pid, "process", "plan.missing", problem));
    }
}

/// Every thread has one.
fn all_threads_have<T: Record<Key = Tid>>(tree: &Tree, found: &mut Found) {
    if is_old::<T>(tree, found) {
        return;
    }
    for t in tree.all::<Thread>().iter().filter(|t| tree.get::<T>(t.tid).is_none()) {
        let problem = format!("its record {} is missing", T::NAME);
        found.add(|| Finding::of(t.pid, format!("thread {}", t.tid), "plan.missing", problem));
    }
}

macro_rules! scopes {
    (
        frame { $($r:ident: $R:ident $rk:literal $rv:literal $rp:tt;)* }
        namespace { $($n:ident: $N:ident $nk:literal $nv:literal $np:tt;)* }
        process { $($p:ident: $P:ident $pk:literal $pv:literal $pp:tt;)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal $tp:tt;)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal $fp:tt;)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal $dp:tt;)* }
        object { $($o:ident: $O:ident $ok:literal $ov:literal $op:tt;)* }
        bulk $bulk:tt
    ) => {
        fn records(tree: &Tree, extent: Extent, found: &mut Found) {
            $(each::<$R>(tree, extent, |_| Belongs::Stream, found);)*
            $(each::<$N>(tree, extent, |_| Belongs::Stream, found);)*
            $(
                let owner = |row: &$P| match Kind::$P {
                    Kind::Process => Belongs::Stream,
                    _ => Belongs::Process(row.pid),
                };
                each::<$P>(tree, extent, owner, found);
                all_have::<$P>(tree, |row| row.pid, found);
            )*
            $(
                each::<$T>(tree, extent, |row| Belongs::Thread(row.pid, row.tid), found);
                all_threads_have::<$T>(tree, found);
            )*
            $(each::<$F>(tree, extent, |row| Belongs::File(row.file, $fk), found);)*
            $(each::<$D>(tree, extent, |row| Belongs::On(row.attached()), found);)*
            $(each::<$O>(tree, extent, |_| Belongs::Stream, found);)*
        }

        /// Whether the record of what it is stands in the stream.
        fn has_kind(tree: &Tree, open: &OpenFile) -> bool {
            match open.kind {
                $($fk => tree.get::<$F>(open.id).is_some(),)*
                _ => false,
            }
        }
    };
}
resources!(scopes);
