//! The order of the work, all of it.

use crate::{
    Extent, Inheritance, Machine, Phase,
    cgroups::Places,
    check::{Found, check},
    family, hole, phase, shared, terminals, unions,
};
use floe_records::*;
use std::{collections::BTreeMap, fmt};

/// One step of a restore. What restore does for itself (its pid file, its progress) is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Compare a union mount of the tree, by its row among those records, with what is here, and mount it where it is missing
    /// and that is wished.
    Union(u32),
    /// Find what takes the place of all namespaces, and the directories that paths of the tree start from.
    Places,
    /// Make all objects of a kind.
    Make(Kind),
    /// Make all files of a kind whose making depends on each other.
    Prepare(Kind),
    /// Open the executable of a process; one that was removed is a file without a name, opened for reading twice.
    Program(Pid),
    /// Open what a process maps.
    Mapped(Pid),
    /// Make or open what a description is.
    Open(FileId, Kind),
    /// Open what a description is, now that all processes exist.
    Late(FileId, Kind),
    /// Send what carries descriptors or credentials to the sockets that have it in their queues: all descriptions are open, and all
    /// processes exist.
    Send,
    /// Take what stands for outside files under numbers that restore knows: 0 to 2, and those of `--inherit`.
    Outside,
    /// Keep the writing ends of removed executables and of carried files apart: all else that restore has open goes to every process by fork, and
    /// a program cannot run from what is open for writing.
    Writers,
    /// A stub with this pid. The root has no parent in the tree: it is made by restore, loses all that it has mapped but the
    /// vdso, which is parked in the hole, and sets every signal to its default; the others are forked from it, each by
    /// the thread whose child it is to be, and has this in common with its parent.
    Create(Pid, Option<Tid>, ShareSet),
    /// Enter the namespaces that were made for a process, where some were.
    Enter(Pid),
    /// Read pages into the parent of a process that is about to be made: it is to have them from there.
    Supply(Pid),
    /// Drop what else a stub has from its parent, and map what its own children are to have from it.
    Inherit(Pid),
    /// Leave what a process has in common with others only because those that it has made needed it from there (unshare(2)).
    Unshare(Pid, ShareSet),
    /// setsid(2).
    Session(Pid),
    /// A pseudo terminal becomes the controlling terminal of a session (TIOCSCTTY).
    Controlling(Pid, ObjectId),
    /// A member of the session gives it up (TIOCNOTTY).
    GiveUp(Pid, ObjectId),
    /// The leader of the session puts the process group into its foreground that was there (TIOCSPGRP).
    Foreground(Pid, ObjectId),
    /// A leader for a process group whose own has ended, made by a member.
    Leader(Pid, Pid),
    /// setpgid(2).
    Group(Pid, Pid),
    /// The same by the parent of a process that has no number for the group: its leader is in a pid namespace further outside.
    Place(Pid, Pid, Pid),
    /// That leader is not needed any more.
    Dismiss(Pid, Pid),
    /// Close what is below the numbers that restore keeps, put the descriptors on theirs, and close what restore keeps but an
    /// executable that comes late.
    Table(Pid),
    /// Mount what shows the pid namespaces that are there by now.
    Procs,
    /// Start a thread.
    Thread(Pid, Tid),
    /// Put a thread, or a process that has no other yet, into its cgroups.
    Join(Tid),
    /// Apply a resource.
    Apply(Phase, Subject, Kind),
    /// Read pages and contents into place, as they come.
    Fill,
    /// Close what was open for writing only to be filled, and put seals on files without a name.
    Seal,
    /// Registers back, and the hole unmapped: no call can be made in it any more.
    Leave(Pid),
    /// Lend the terminal of restore to this process group, and set its modes. Only where restore waits for the tree and is in
    /// the foreground itself.
    Lend(Pid),
    /// Signal masks of all threads.
    Masks,
    /// Have a stub end as its process did.
    Die(Pid),
    /// Have a process stop, and go on where its parent has not been told yet that it does.
    Stop(Pid),
    /// Close what restore and its guardian have of pipes: a thread that runs in splice(2) holds its pipe, and who closes
    /// that waits for it.
    Pipes,
    /// Set what limits cgroups that were made, and freeze those that were frozen.
    Limit,
    /// A guardian takes over: it kills all processes if restore ends before all run.
    Guard,
    /// Give TCP connections the network back, and let them go on: where all this fails, they end without a word to their peers up
    /// to here.
    Connect,
    /// Let all run.
    Release,
    /// Dismiss the guardian; nothing is undone any more.
    Dismissal,
}

/// What a resource is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A process.
    Process(Pid),
    /// A thread of a process.
    Thread(Pid, Tid),
    /// A descriptor of a process, and the description behind it.
    File(Pid, FdNum, FileId),
}

impl Subject {
    /// The thread that does the work: the leader, where a process is meant.
    pub fn tid(self) -> Tid {
        match self {
            Subject::Process(pid) | Subject::File(pid, ..) => Tid(pid.0),
            Subject::Thread(_, tid) => tid,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "{pid}"),
            Self::Thread(pid, tid) => write!(f, "thread {tid} of {pid}"),
            Self::File(pid, fd, _) => write!(f, "fd {fd} of {pid}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Union(row) => write!(f, "compare union mount {row}"),
            Self::Places => write!(f, "find the namespaces and directories of all processes"),
            Self::Make(kind) => write!(f, "make every {}", kind.name()),
            Self::Prepare(kind) => {
                write!(f, "make every {} in the order of their relations", kind.name())
            }
            Self::Program(pid) => write!(f, "open the executable of {pid}"),
            Self::Mapped(pid) => write!(f, "open what {pid} maps"),
            Self::Open(id, kind) => write!(f, "open file {id}: {}", kind.name()),
            Self::Late(id, kind) => write!(f, "open file {id} late: {}", kind.name()),
            Self::Send => write!(f, "send what carries descriptors or credentials"),
            Self::Outside => write!(f, "take what stands for outside files"),
            Self::Writers => write!(f, "keep the writing ends of executables apart"),
            Self::Create(pid, None, _) => write!(f, "create {pid} as root"),
            Self::Create(pid, Some(maker), shares) => {
                write!(f, "create {pid} in {maker}")?;
                if shares.is_empty() { Ok(()) } else { write!(f, ", with its {shares}") }
            }
            Self::Unshare(pid, shares) => write!(f, "{pid} leaves to others: {shares}"),
            Self::Enter(pid) => write!(f, "{pid} enters its namespaces"),
            Self::Supply(pid) => write!(f, "fill memory of the parent of {pid} for it"),
            Self::Inherit(pid) => write!(f, "{pid} keeps what it has from its parent"),
            Self::Session(pid) => write!(f, "new session for {pid}"),
            Self::Controlling(pid, pty) => {
                write!(f, "pseudo terminal {} for the session of {pid}", pty.ino)
            }
            Self::GiveUp(pid, pty) => write!(f, "{pid} gives up pseudo terminal {}", pty.ino),
            Self::Foreground(pid, pty) => {
                write!(f, "foreground of pseudo terminal {}, by {pid}", pty.ino)
            }
            Self::Leader(group, by) => write!(f, "leader of process group {group}, by {by}"),
            Self::Dismiss(group, by) => write!(f, "end the leader of {group}, by {by}"),
            Self::Group(pid, group) => write!(f, "put {pid} into process group {group}"),
            Self::Place(by, pid, group) => write!(f, "{by} puts {pid} into process group {group}"),
            Self::Table(pid) => write!(f, "put the descriptors of {pid} on their numbers"),
            Self::Procs => write!(f, "mount what shows pid namespaces"),
            Self::Thread(pid, tid) => write!(f, "start thread {tid} of {pid}"),
            Self::Join(tid) => write!(f, "put {tid} into its cgroups"),
            Self::Apply(phase, subject, kind) => write!(f, "{subject}: {phase}: {}", kind.name()),
            Self::Fill => write!(f, "fill memory"),
            Self::Seal => write!(f, "seal nameless files"),
            Self::Leave(pid) => write!(f, "registers of {pid}"),
            Self::Lend(group) => write!(f, "lend the terminal to process group {group}"),
            Self::Masks => write!(f, "signal masks of all threads"),
            Self::Die(pid) => write!(f, "have {pid} end as it did"),
            Self::Stop(pid) => write!(f, "have {pid} stop"),
            Self::Pipes => write!(f, "close the pipes of restore"),
            Self::Limit => write!(f, "limit the cgroups that were made"),
            Self::Guard => write!(f, "set a guardian over all"),
            Self::Connect => write!(f, "let TCP connections go on"),
            Self::Release => write!(f, "release all"),
            Self::Dismissal => write!(f, "dismiss the guardian"),
        }
    }
}

/// A restore that can be tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The whole order.
    pub steps: Vec<Step>,
    /// Address of a hole that is free in every process and in restore.
    pub hole: u64,
    /// What processes have from their parents.
    pub inheritance: Inheritance,
}

/// Plans a restore on a machine. `tree` is input from a stranger: it gives either a plan of which every step has what it
/// needs, or every reason why there is none.
///
/// # Errors
/// What stands in the way.
pub fn plan(tree: &Tree, machine: &Machine) -> Result<Plan, Refusals> {
    attempt(tree, machine, Extent::Whole)
}

/// Whether metadata could be restored on a machine like this one, before anything is done that cannot be undone.
///
/// # Errors
/// What stands in the way.
pub fn allow(tree: &Tree, machine: &Machine, extent: Extent) -> Result<(), Refusals> {
    attempt(tree, machine, extent).map(drop)
}

fn attempt(tree: &Tree, machine: &Machine, extent: Extent) -> Result<Plan, Refusals> {
    let mut found = Found::default();
    check(tree, machine, extent, &mut found);
    // What else there is would follow from it.
    std::mem::take(&mut found).refusals()?;
    let mut on_files = phase::on_files(tree);
    let mut steps = open(tree, &mut on_files);
    let mut made = Vec::new();
    let (shared, settled) = family::create(tree, &mut made, &mut found);
    let inheritance = Inheritance::find(tree, &mut made, &mut found);
    let places = Places::of(tree);
    steps.extend(places.processes(made));
    family::groups(tree, &settled, &mut steps, &mut found);
    terminals::steps(tree, &mut steps);
    shared.leave(&mut steps);
    steps.extend((!tree.all::<ProcSpace>().is_empty()).then_some(Step::Procs));
    opened_threads(tree, &places, &mut steps);
    phase::late(tree, &mut steps);
    let carried = tree.all::<SocketQueue>().iter().any(|queue| !queue.carried.is_empty());
    steps.extend(carried.then_some(Step::Send));
    for p in tree.living() {
        steps.extend(inheritance.late(p.pid).then_some(Step::Inherit(p.pid)));
        build(tree, p.pid, &places, &mut on_files, &mut steps);
    }
    steps.extend([Step::Fill, Step::Seal]);
    for p in tree.living() {
        finish(tree, p.pid, &mut on_files, &mut steps);
    }
    steps.extend(tree.all::<Process>().iter().filter_map(|p| state(tree, p)));
    for pid in shared::owners_last(tree, Share::Actions) {
        for phase in Phase::END {
            phase::steps_of(tree, pid, phase, &mut on_files, &mut steps);
        }
    }
    release(tree, places.any(), &mut steps);
    let hole = hole::find(tree, &machine.taken);
    if hole.is_none() {
        let problem = "no range of addresses is free in all of them";
        found.add(|| Finding::about("the processes", "plan.hole", problem));
    }
    found.refusals()?;
    Ok(Plan { steps, hole: hole.unwrap_or_default(), inheritance })
}

/// What restore itself opens and makes before the first process.
fn open(tree: &Tree, on_files: &mut phase::OnFiles) -> Vec<Step> {
    let some = |there: bool, step: Step| there.then_some(step);
    let unions = unions::in_order(tree.all::<Union>());
    let mut steps: Vec<Step> = unions.iter().map(|row| Step::Union(*row as u32)).collect();
    steps.push(Step::Places);
    phase::prepare(tree, &mut steps);
    for p in tree.living() {
        steps.extend([Step::Program(p.pid), Step::Mapped(p.pid)]);
    }
    let kind = |open: &OpenFile| Kind::of(open.kind).map(|kind| Step::Open(open.id, kind));
    steps.extend(tree.all::<OpenFile>().iter().filter_map(kind));
    for p in tree.living() {
        phase::steps_of(tree, p.pid, Phase::Opened, on_files, &mut steps);
    }
    steps.extend(some(!tree.all::<External>().is_empty(), Step::Outside));
    let removed = tree.all::<Mm>().iter().any(|mm| mm.exe.deleted);
    steps.extend(some(removed || !tree.all::<CarriedFile>().is_empty(), Step::Writers));
    steps
}

/// The end: from the registers of the first to the last one that runs.
fn release(tree: &Tree, limits: bool, steps: &mut Vec<Step>) {
    // The last one unmaps the hole.
    steps.extend(shared::owners_last(tree, Share::Memory).into_iter().map(Step::Leave));
    steps.extend(foreground(tree).map(Step::Lend));
    steps.extend([Step::Masks, Step::Pipes]);
    steps.extend(limits.then_some(Step::Limit));
    steps.push(Step::Guard);
    steps.extend((!tree.all::<TcpConnection>().is_empty()).then_some(Step::Connect));
    steps.extend([Step::Release, Step::Dismissal]);
}

/// Threads of which a file is opened late, and that have made no process.
fn opened_threads(tree: &Tree, places: &Places<'_>, steps: &mut Vec<Step>) {
    for p in tree.living() {
        let threads = tree.threads(p.pid).map(|thread| thread.tid);
        let threads = threads.filter(|tid| tree.is_opened(*tid) && !tree.is_maker(*tid));
        for tid in threads.filter(|tid| tid.0 != p.pid.0) {
            steps.push(Step::Thread(p.pid, tid));
            steps.extend(places.join(tid, Some(Tid(p.pid.0))));
        }
    }
}

/// Whether a thread comes when the table of its process is there.
fn is_late(tree: &Tree, pid: Pid, tid: Tid) -> bool {
    tid.0 != pid.0 && !tree.is_maker(tid) && !tree.is_opened(tid)
}

/// What brings a process into its state.
fn state(tree: &Tree, p: &Process) -> Option<Step> {
    match p.state {
        State::Zombie(_) => Some(Step::Die(p.pid)),
        State::Stopped(_) => Some(Step::Stop(p.pid)),
        State::Alive if tree.news(p.pid) == Some(&News::Continued) => Some(Step::Stop(p.pid)),
        State::Alive => None,
    }
}

/// The process group that had the terminal of the tree.
fn foreground(tree: &Tree) -> Option<Pid> {
    let root = tree.root()?;
    // A session leader has lost its terminal.
    let has_one = root.tty_nr != 0 && root.sid != root.pid;
    let front = tree.all::<Process>().iter().map(|p| p.pgid);
    front.into_iter().find(|group| has_one && group.0 as i32 == root.tty_pgrp)
}

/// A process up to its memory. What it takes from restore lies in its table, so those that share one wait for the last of them.
fn build(
    tree: &Tree,
    pid: Pid,
    places: &Places<'_>,
    on_files: &mut phase::OnFiles,
    steps: &mut Vec<Step>,
) {
    for phase in Phase::BUILD.into_iter().take_while(|phase| *phase < Phase::Settings) {
        phase::steps_of(tree, pid, phase, on_files, steps);
    }
    let owner = tree.owner(pid, Share::Table);
    let sharers = tree.sharers(Share::Table, owner);
    if sharers.last().is_some_and(|last| *last != pid) {
        return;
    }
    steps.push(Step::Table(owner));
    for &pid in [owner].iter().chain(sharers) {
        let late = |tid: &Tid| is_late(tree, pid, *tid);
        let others = || tree.threads(pid).map(|t| t.tid).filter(late);
        steps.extend(others().map(|tid| Step::Thread(pid, tid)));
        steps.extend(others().filter_map(|tid| places.join(tid, Some(Tid(pid.0)))));
        phase::steps_of(tree, pid, Phase::Settings, on_files, steps);
    }
}

/// A process behind the filling of its memory. Each thread goes through its own phases before the next one does: then it
/// stops once for all of them.
fn finish(tree: &Tree, pid: Pid, on_files: &mut phase::OnFiles, steps: &mut Vec<Step>) {
    let mut threads = steps.len();
    for phase in Phase::FINISH {
        if phase == Phase::Register {
            threads = steps.len();
        }
        phase::steps_of(tree, pid, phase, on_files, steps);
        if phase == Phase::ParentDeath {
            let order: BTreeMap<Tid, usize> = tree.threads(pid).map(|t| t.tid).zip(0..).collect();
            steps[threads..].sort_by_key(|step| match step {
                Step::Apply(_, subject, _) => order.get(&subject.tid()).copied(),
                _ => None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_finish_one_after_the_other() {
        let mut tree = Tree::default();
        for tid in [7, 9, 8] {
            let thread = Thread {
                pid: Pid(7),
                tid: Tid(tid),
                comm: "t".into(),
                regs: Vec::new().into(),
                xstate: Vec::new().into(),
                robust_list: (Addr(0), 0),
                clear_child_tid: Addr(0),
                rseq: None,
                pdeath_signal: 0,
            };
            tree.insert(thread.any()).unwrap();
        }
        let mut steps = Vec::new();
        finish(&tree, Pid(7), &mut phase::OnFiles::new(), &mut steps);
        let of_threads = steps.iter().filter_map(|step| match step {
            Step::Apply(phase, Subject::Thread(_, tid), _) => Some((tid.0, *phase)),
            _ => None,
        });
        let of_threads: Vec<(u32, Phase)> = of_threads.collect();
        let phases = |tid| of_threads.iter().filter(move |of| of.0 == tid).map(|of| of.1);
        for tid in [7, 8, 9] {
            assert!(phases(tid).is_sorted(), "thread {tid}");
            assert!(phases(tid).any(|phase| phase == Phase::Creds), "thread {tid}");
        }
        let through = of_threads.iter().filter(|(_, phase)| *phase <= Phase::ParentDeath);
        let mut order: Vec<u32> = through.map(|(tid, _)| *tid).collect();
        order.dedup();
        assert_eq!(order, [7, 9, 8], "each goes through its phases in one go");
    }
}
