//! The order of the work, all of it.

use crate::{Phase, check::check, family, hole, phase};
use floe_records::*;
use std::{collections::BTreeMap, fmt};

/// One step of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Find the directories that paths of the tree start from.
    Places,
    /// Make all objects of a kind.
    Make(Kind),
    /// Make all files of a kind whose making depends on each other.
    Prepare(Kind),
    /// Open the executable of a process.
    Program(Pid),
    /// Open what a process maps.
    Mapped(Pid),
    /// Make or open what a description is.
    Open(FileId, Kind),
    /// A stub with this pid; the root has no parent in the tree.
    Create(Pid, Option<Pid>),
    /// setsid(2).
    Session(Pid),
    /// A leader for a process group whose own has ended, made by a member.
    Leader(Pid, Pid),
    /// setpgid(2).
    Group(Pid, Pid),
    /// That leader is not needed any more.
    Dismiss(Pid, Pid),
    /// Put the descriptors on their numbers.
    Table(Pid),
    /// Start a thread.
    Thread(Pid, Tid),
    /// Apply a resource.
    Apply(Phase, Subject, Kind),
    /// Read pages and contents into place.
    Fill,
    /// Put seals on files without a name.
    Seal,
    /// Registers back, and the stub gone.
    Leave(Pid),
    /// Let all run.
    Release,
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
            Self::Places => write!(f, "find the directories of all processes"),
            Self::Make(kind) => write!(f, "make every {}", kind.name()),
            Self::Prepare(kind) => {
                write!(f, "make every {} in the order of their relations", kind.name())
            }
            Self::Program(pid) => write!(f, "open the executable of {pid}"),
            Self::Mapped(pid) => write!(f, "open what {pid} maps"),
            Self::Open(id, kind) => write!(f, "open file {id}: {}", kind.name()),
            Self::Create(pid, None) => write!(f, "create {pid} as root"),
            Self::Create(pid, Some(parent)) => write!(f, "create {pid} in {parent}"),
            Self::Session(pid) => write!(f, "new session for {pid}"),
            Self::Leader(group, by) => write!(f, "leader of process group {group}, by {by}"),
            Self::Dismiss(group, by) => write!(f, "end the leader of {group}, by {by}"),
            Self::Group(pid, group) => write!(f, "put {pid} into process group {group}"),
            Self::Table(pid) => write!(f, "put the descriptors of {pid} on their numbers"),
            Self::Thread(pid, tid) => write!(f, "start thread {tid} of {pid}"),
            Self::Apply(phase, subject, kind) => write!(f, "{subject}: {phase}: {}", kind.name()),
            Self::Fill => write!(f, "fill memory"),
            Self::Seal => write!(f, "seal nameless files"),
            Self::Leave(pid) => write!(f, "registers of {pid}"),
            Self::Release => write!(f, "release all"),
        }
    }
}

/// A restore that can be tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The whole order.
    pub steps: Vec<Step>,
    /// Address of a hole that is free in every process and in the ranges that were given.
    pub hole: u64,
}

/// Plans a restore; `taken` are ranges of addresses that the hole must not be in.
pub fn plan(tree: &Tree, taken: &[(u64, u64)]) -> Result<Plan, Refusals> {
    let no = check(tree);
    if !no.0.is_empty() {
        return Err(no);
    }
    let mut no = Vec::new();
    let mut on_files = phase::on_files(tree);
    let mut steps = open(tree, &mut on_files);
    family::create(tree, &mut steps, &mut no);
    family::groups(tree, &mut steps);
    for p in tree.living() {
        build(tree, p.pid, &mut on_files, &mut steps);
    }
    steps.extend([Step::Fill, Step::Seal]);
    for p in tree.living() {
        finish(tree, p.pid, &mut on_files, &mut steps);
    }
    steps.extend(tree.living().map(|p| Step::Leave(p.pid)));
    steps.push(Step::Release);
    let Some(hole) = hole::find(tree, taken) else {
        let problem = "no range of addresses is free in all of them";
        no.push(Finding::about("the processes", "plan.hole", problem));
        return Err(Refusals(no));
    };
    if no.is_empty() { Ok(Plan { steps, hole }) } else { Err(Refusals(no)) }
}

/// What restore itself opens and makes before the first process.
fn open(tree: &Tree, on_files: &mut phase::OnFiles) -> Vec<Step> {
    let mut steps = vec![Step::Places];
    phase::prepare(tree, &mut steps);
    for p in tree.living() {
        steps.extend([Step::Program(p.pid), Step::Mapped(p.pid)]);
    }
    let kind = |open: &OpenFile| Kind::of(open.kind).map(|kind| Step::Open(open.id, kind));
    steps.extend(tree.all::<OpenFile>().iter().filter_map(kind));
    for p in tree.living() {
        phase::steps_of(tree, p.pid, Phase::Opened, on_files, &mut steps);
    }
    steps
}

/// A process up to its memory.
fn build(tree: &Tree, pid: Pid, on_files: &mut phase::OnFiles, steps: &mut Vec<Step>) {
    for phase in Phase::BUILD {
        if phase == Phase::Settings {
            steps.push(Step::Table(pid));
            let others = tree.threads(pid).filter(|t| t.tid.0 != pid.0);
            steps.extend(others.map(|t| Step::Thread(pid, t.tid)));
        }
        phase::steps_of(tree, pid, phase, on_files, steps);
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
