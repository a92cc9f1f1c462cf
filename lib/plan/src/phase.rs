//! Phases of the rebuilding of a process, and which resource has its turn in which.

use crate::{Step, Subject, shared::does};
use floe_records::{Attached, Epoll, FdNum, FileId, Kind, Pid, Property, Record, Resource, Tree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// When a resource is applied. Those of [`Phase::BUILD`] come while a process is built, before its memory is filled, those of
/// [`Phase::FINISH`] and [`Phase::END`] behind that; each list is in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Files of a kind that depend on each other are made together, before any is opened.
    Prepare,
    /// What restore itself takes on descriptions as soon as they are open, such as locks.
    Opened,
    /// What can be opened only when all processes exist.
    Late,
    /// Mappings, writable where pages will be filled in.
    Map,
    /// Numbers of the address space.
    Numbers,
    /// Working directory and root.
    Directories,
    /// A stub takes a descriptor that came late from restore.
    Fetch,
    /// What needs free descriptor numbers: the table is not there yet.
    Watches,
    /// Settings that nothing else rests on.
    Settings,
    /// An executable that was removed, now that its content is there.
    Executable,
    /// Protections, guards, locks of memory.
    Protect,
    /// Resource limits.
    Limits,
    /// Properties of descriptors that the process itself must set.
    Descriptors,
    /// What a thread registers with the kernel.
    Register,
    /// Scheduling.
    Sched,
    /// Credentials: the privileges of restore end here.
    Creds,
    /// PR_SET_PDEATHSIG, which a change of credentials clears.
    ParentDeath,
    /// PR_SET_DUMPABLE, which a change of credentials sets.
    Dumpable,
    /// Timers begin to run.
    Timers,
    /// Queued signals. From here on all signals are blocked.
    Queue,
    /// What signals and timers would disturb.
    Last,
}

impl Phase {
    /// Before memory is filled.
    pub const BUILD: [Phase; 6] = [
        Phase::Map,
        Phase::Numbers,
        Phase::Directories,
        Phase::Fetch,
        Phase::Watches,
        Phase::Settings,
    ];
    /// Behind that, up to the moment when processes that have ended or are stopped come to be so.
    pub const FINISH: [Phase; 10] = [
        Phase::Executable,
        Phase::Protect,
        Phase::Limits,
        Phase::Descriptors,
        Phase::Register,
        Phase::Sched,
        Phase::Creds,
        Phase::ParentDeath,
        Phase::Dumpable,
        Phase::Timers,
    ];
    /// Behind that moment: what parents are told of their children is what they were told.
    pub const END: [Phase; 2] = [Phase::Queue, Phase::Last];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Prepare => "prepare",
            Phase::Opened => "take",
            Phase::Late => "open late",
            Phase::Map => "map",
            Phase::Numbers => "set the numbers",
            Phase::Directories => "enter the directories",
            Phase::Fetch => "fetch",
            Phase::Watches => "add the watches",
            Phase::Settings => "set",
            Phase::Executable => "set the executable",
            Phase::Protect => "protect",
            Phase::Limits => "limit",
            Phase::Descriptors => "set on the descriptor",
            Phase::Register => "register",
            Phase::Sched => "schedule",
            Phase::Creds => "set the credentials",
            Phase::ParentDeath => "set the signal at the parent's death",
            Phase::Dumpable => "set dumpable",
            Phase::Timers => "start",
            Phase::Queue => "queue",
            Phase::Last => "set at last",
        })
    }
}

/// What descriptors of a process call for, by phase.
pub(crate) type OnFiles = BTreeMap<(Pid, Phase), Vec<Step>>;

macro_rules! phases {
    (
        frame $frame:tt
        namespace $namespace:tt
        process { $($p:ident: $P:ident $pk:literal $pv:literal [$($pp:ident)*];)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal [$($tp:ident)*];)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal [$($fp:ident)*];)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal [$($dp:ident)*];)* }
        object { $($o:ident: $O:ident $ok:literal $ov:literal [$($op:ident)*];)* }
        bulk $bulk:tt
    ) => {
        const PROCESS: &[(Kind, &[Phase])] = &[$((Kind::$P, &[$(Phase::$pp),*]),)*];
        const THREAD: &[(Kind, &[Phase])] = &[$((Kind::$T, &[$(Phase::$tp),*]),)*];

        /// Steps of all open files and of the properties of descriptors.
        pub(crate) fn on_files(tree: &Tree) -> OnFiles {
            let mut all = OnFiles::new();
            $(of_files::<floe_records::$F>(tree, &[$(Phase::$fp),*], &mut all);)*
            $(of_properties::<floe_records::$D>(tree, &[$(Phase::$dp),*], &mut all);)*
            all
        }

        /// What is opened when all processes exist.
        pub(crate) fn late(tree: &Tree, steps: &mut Vec<Step>) {
            $(
                let phases: &[Phase] = &[$(Phase::$fp),*];
                if phases.contains(&Phase::Late) {
                    let rows = tree.all::<floe_records::$F>().iter();
                    steps.extend(rows.map(|row| Step::Late(row.key(), Kind::$F)));
                }
            )*
        }

        /// What is made before files are opened.
        pub(crate) fn prepare(tree: &Tree, steps: &mut Vec<Step>) {
            $(
                if !tree.all::<floe_records::$O>().is_empty() {
                    steps.push(Step::Make(Kind::$O));
                }
            )*
            $(
                let phases: &[Phase] = &[$(Phase::$fp),*];
                if phases.contains(&Phase::Prepare) && !tree.all::<floe_records::$F>().is_empty() {
                    steps.push(Step::Prepare(Kind::$F));
                }
            )*
        }
    };
}
floe_records::resources!(phases);

fn of_files<T: Record<Key = FileId>>(tree: &Tree, phases: &[Phase], all: &mut OnFiles) {
    let rows = if phases.is_empty() { &[][..] } else { tree.all::<T>() };
    for row in rows {
        let description = Attached::Description(row.key());
        let on = row.applied_on().map_or(description, |(pid, fd)| Attached::Descriptor(pid, fd));
        add(tree, on, T::KIND, phases, all);
    }
    if phases.contains(&Phase::Late) && !rows.is_empty() {
        fetch::<T>(tree, all);
    }
}

/// Every process that has a file which came late takes it, also for the sake of an epoll instance alone.
fn fetch<T: Record<Key = FileId>>(tree: &Tree, all: &mut OnFiles) {
    let mut users: BTreeSet<(Pid, FileId)> = BTreeSet::new();
    for p in tree.living() {
        let late = tree.fds(p.pid).map(|fd| fd.file).filter(|file| tree.get::<T>(*file).is_some());
        users.extend(late.map(|file| (p.pid, file)));
    }
    for epoll in tree.all::<Epoll>() {
        let Some((pid, _)) = tree.holder(epoll.file) else { continue };
        let watched = epoll.watches.iter().map(|watch| watch.file);
        let late = watched.filter(|file| tree.get::<T>(*file).is_some());
        users.extend(late.map(|file| (pid, file)));
    }
    let Some(kind) = Kind::of(T::KIND) else { return };
    for (pid, file) in users {
        let step = Step::Apply(Phase::Fetch, Subject::File(pid, FdNum(0), file), kind);
        all.entry((pid, Phase::Fetch)).or_default().push(step);
    }
}

/// Whether a phase concerns all processes at once, and none of them alone.
fn is_common(phase: Phase) -> bool {
    matches!(phase, Phase::Prepare | Phase::Late)
}

fn of_properties<T: Record + Property>(tree: &Tree, phases: &[Phase], all: &mut OnFiles) {
    let rows = if phases.is_empty() { &[][..] } else { tree.all::<T>() };
    for row in rows {
        add(tree, row.attached(), T::KIND, phases, all);
    }
}

fn add(tree: &Tree, attached: Attached, kind: u16, phases: &[Phase], all: &mut OnFiles) {
    let place = match attached {
        Attached::Description(file) => tree.holder(file).map(|(pid, fd)| (pid, fd, file)),
        Attached::Descriptor(pid, fd) => tree.fd(pid, fd).map(|found| (pid, fd, found.file)),
    };
    let (Some((pid, fd, file)), Some(kind)) = (place, Kind::of(kind)) else { return };
    for &phase in phases.iter().filter(|phase| !is_common(**phase)) {
        let step = Step::Apply(phase, Subject::File(pid, fd, file), kind);
        all.entry((pid, phase)).or_default().push(step);
    }
}

/// Steps of one phase of a process: the process itself, then its threads, then its descriptors.
pub(crate) fn steps_of(
    tree: &Tree,
    pid: Pid,
    phase: Phase,
    on_files: &mut OnFiles,
    out: &mut Vec<Step>,
) {
    let kinds = |table: &'static [(Kind, &'static [Phase])]| {
        table.iter().filter(move |(_, phases)| phases.contains(&phase)).map(|(kind, _)| *kind)
    };
    let own = kinds(PROCESS).filter(|kind| does(tree, pid, *kind, phase));
    out.extend(own.map(|kind| Step::Apply(phase, Subject::Process(pid), kind)));
    if kinds(THREAD).next().is_some() {
        for thread in tree.threads(pid) {
            let subject = Subject::Thread(pid, thread.tid);
            out.extend(kinds(THREAD).map(|kind| Step::Apply(phase, subject, kind)));
        }
    }
    out.append(on_files.get_mut(&(pid, phase)).unwrap_or(&mut Vec::new()));
}
