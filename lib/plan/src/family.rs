//! In which order processes are made, so that each is born into the session that it is to be in.
//!
//! A child that belongs to the session which its parent was born in comes before the parent makes one of its own.

use crate::{Step, check::Found, early_groups::EarlyGroups, shared::Shared, terminals};
use floe_records::{Finding, Namespace, Namespaces, NsKind, ObjectId, Pid, Process, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to do; no recursion, since a chain of processes may be as long as a stranger likes.
#[derive(Clone, Copy)]
enum Work<'a> {
    /// Of a child, with the session that its parent is to be in in the end.
    Create(&'a Process, Option<Pid>),
    Session(&'a Process),
}

/// What other work may wait for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A process is there: the init of a pid namespace.
    Created(Pid),
    /// A process group is there.
    Group(Pid),
    /// All children of a process that are born before it makes a session.
    Early(Pid),
}

/// Steps that make all processes of a tree, and what those share, and the processes that are in their groups then.
pub(crate) fn create(
    tree: &Tree,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> (Shared, BTreeSet<Pid>) {
    let shared = Shared::find(tree, found);
    let births = births(tree);
    // That of restore takes the place of the session that the root was born in.
    let outer = tree.root().filter(|root| {
        let birth = births.get(&root.pid).copied().flatten();
        birth.is_some_and(|sid| tree.get::<Process>(sid).is_some())
    });
    if let Some(root) = outer {
        let problem = "it is in a session of a process that is not above it";
        found.add(|| Finding::of(root.pid, "session", "plan.session", problem));
    }
    let stack = tree.root().map(|root| Work::Create(root, None)).into_iter().collect();
    let mut order = Order {
        tree,
        shared: &shared,
        births,
        terminals: terminals::of_sessions(tree),
        groups: EarlyGroups::of(tree),
        stack,
        done: BTreeSet::new(),
        early: BTreeMap::new(),
        waiting: BTreeMap::new(),
        steps,
        found,
    };
    order.run();
    let settled = order.groups.settled();
    (shared, settled)
}

struct Order<'a, 'b> {
    tree: &'a Tree,
    shared: &'b Shared,
    births: BTreeMap<Pid, Option<Pid>>,
    terminals: BTreeMap<Pid, ObjectId>,
    groups: EarlyGroups,
    stack: Vec<Work<'a>>,
    done: BTreeSet<Event>,
    /// How many children of each process are still to be born before it makes a session.
    early: BTreeMap<Pid, usize>,
    waiting: BTreeMap<Event, Vec<Work<'a>>>,
    steps: &'b mut Vec<Step>,
    found: &'b mut Found,
}

impl<'a> Order<'a, '_> {
    fn run(&mut self) {
        while let Some(work) = self.stack.pop() {
            match self.lacks(work) {
                Some(event) => self.waiting.entry(event).or_default().push(work),
                None => match work {
                    Work::Create(p, parent) => self.create(p, parent),
                    Work::Session(p) => self.session(p),
                },
            }
        }
        for work in std::mem::take(&mut self.waiting).into_values().flatten() {
            if let Work::Create(p, _) = work {
                let problem = "what must be there before it can only come behind it";
                self.found.add(|| Finding::of(p.pid, "process", "plan.order", problem));
            }
        }
    }

    /// What must come first.
    fn lacks(&self, work: Work<'_>) -> Option<Event> {
        let event = match work {
            Work::Session(p) => Event::Early(p.pid),
            Work::Create(p, _) => {
                let init = self.tree.init_of(self.tree.pid_space(p.pid));
                let init = init.filter(|init| *init != p.pid).map(Event::Created);
                match init.filter(|init| !self.done.contains(init)) {
                    Some(init) => init,
                    None => Event::Group(self.groups.awaited_by(p)?),
                }
            }
        };
        (!self.done.contains(&event)).then_some(event)
    }

    fn happens(&mut self, event: Event) {
        self.done.insert(event);
        self.stack.extend(self.waiting.remove(&event).unwrap_or_default().into_iter().rev());
    }

    fn birth(&self, p: &Process) -> Option<Pid> {
        self.births.get(&p.pid).copied().flatten()
    }

    fn create(&mut self, p: &'a Process, above: Option<Pid>) {
        let tree = self.tree;
        let parent = above.and_then(|_| tree.get::<Process>(p.ppid));
        let maker = parent.map(|_| p.maker);
        self.steps.push(Step::Create(p.pid, maker, self.shared.with_parent(p.pid)));
        // What it makes is born there.
        let elsewhere = is_elsewhere(tree, p, parent.map(|parent| parent.pid));
        self.steps.extend(elsewhere.then_some(Step::Enter(p.pid)));
        let group = self.groups.enter(tree, p, parent, self.steps, self.found);
        // They have the table and the directories of their process, whatever becomes of those.
        let makers = tree.threads(p.pid).filter(|t| t.tid.0 != p.pid.0 && tree.is_maker(t.tid));
        self.steps.extend(makers.map(|thread| Step::Thread(p.pid, thread.tid)));
        let born = self.birth(p).unwrap_or(above.unwrap_or(p.sid));
        let early: Vec<&Process> =
            tree.children(p.pid).filter(|child| self.is_early(p, child)).collect();
        for child in &early {
            if self.birth(child) != Some(born) {
                let object = format!("session {}", child.sid);
                let problem = "its parent has never been in it";
                self.found.add(|| Finding::of(child.pid, object, "plan.session", problem));
            }
        }
        // The last one that is pushed is the first to be worked on.
        if p.sid == p.pid {
            self.stack.push(Work::Session(p));
        } else {
            self.push_late(p);
        }
        self.early.insert(p.pid, early.len());
        if early.is_empty() {
            self.done.insert(Event::Early(p.pid));
        }
        self.stack.extend(early.into_iter().rev().map(|child| Work::Create(child, Some(p.sid))));
        self.happens(Event::Created(p.pid));
        if let Some(group) = group {
            self.happens(Event::Group(group));
        }
        if let Some(parent) = parent.filter(|parent| self.is_early(parent, p)) {
            let left = self.early.entry(parent.pid).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.happens(Event::Early(parent.pid));
            }
        }
    }

    /// Whether a child is born before its parent makes a session, if it does.
    fn is_early(&self, parent: &Process, child: &Process) -> bool {
        self.birth(child).is_some_and(|sid| sid != parent.sid)
    }

    fn push_late(&mut self, p: &'a Process) {
        let late: Vec<&Process> =
            self.tree.children(p.pid).filter(|child| !self.is_early(p, child)).collect();
        self.stack.extend(late.into_iter().rev().map(|child| Work::Create(child, Some(p.sid))));
    }

    fn session(&mut self, p: &'a Process) {
        self.steps.push(Step::Session(p.pid));
        // What it makes from here on is born with it.
        let terminal = self.terminals.get(&p.pid);
        self.steps.extend(terminal.map(|pty| Step::Controlling(p.pid, *pty)));
        self.groups.leads(p);
        self.push_late(p);
        self.happens(Event::Group(p.pid));
    }
}

/// Whether a process is in another namespace than the one that it is born in: that of its parent, or of restore, which goes into
/// those of other kinds itself.
fn is_elsewhere(tree: &Tree, p: &Process, parent: Option<Pid>) -> bool {
    const ENTERED: [NsKind; 6] =
        [NsKind::Cgroup, NsKind::Ipc, NsKind::Mnt, NsKind::Net, NsKind::User, NsKind::Uts];
    let spaces = |pid: Pid| tree.get::<Namespaces>(pid);
    let Some(own) = spaces(p.pid) else { return false };
    match parent {
        Some(parent) => spaces(parent)
            .is_some_and(|theirs| ENTERED.iter().any(|kind| theirs.of(*kind) != own.of(*kind))),
        None => [NsKind::Cgroup, NsKind::Mnt, NsKind::User]
            .iter()
            .any(|kind| tree.get::<Namespace>(own.of(*kind)).is_some_and(|own| !own.inherited)),
    }
}

/// The session that each process must be born in; `None` for any: it makes its own, and no process below it needs another.
fn births(tree: &Tree) -> BTreeMap<Pid, Option<Pid>> {
    let mut births: BTreeMap<Pid, Option<Pid>> = BTreeMap::new();
    // Children stand behind their parents.
    for p in tree.all::<Process>().iter().rev() {
        let needs = |child: &Process| {
            let birth = births.get(&child.pid).copied().flatten();
            birth.filter(|sid| *sid != p.pid)
        };
        let birth = if p.sid == p.pid { tree.children(p.pid).find_map(needs) } else { Some(p.sid) };
        births.insert(p.pid, birth);
    }
    births
}

/// Steps that put all processes into their groups, by the rules of setpgid(2): a process that gives a group its name makes
/// it, also where it is in another one by now; then the others join; those that are elsewhere by now go last.
/// `settled` are there already.
pub(crate) fn groups(
    tree: &Tree,
    settled: &BTreeSet<Pid>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) {
    let mut leaders = tree.lost_leaders();
    leaders.retain(|(_, by)| !settled.contains(by));
    let lost: BTreeSet<Pid> = leaders.iter().map(|(group, _)| *group).collect();
    let all = tree.all::<Process>();
    let named: BTreeSet<Pid> = all.iter().map(|p| p.pgid).collect();
    let moved = |p: &&Process| p.pgid != p.pid && named.contains(&p.pid);
    // The group of the root outside: what is in no other one has been born in that of restore.
    let is_here = |group: Pid| lost.contains(&group) || tree.get::<Process>(group).is_some();
    steps.extend(leaders.iter().map(|(group, by)| Step::Leader(*group, *by)));
    let all = || all.iter().filter(|p| !settled.contains(&p.pid));
    let makers = all().filter(|p| p.sid != p.pid && named.contains(&p.pid));
    steps.extend(makers.map(|p| Step::Group(p.pid, p.pid)));
    let staying = all().filter(|p| p.pgid != p.pid && !moved(p));
    let joined: BTreeSet<Pid> = staying.clone().map(|p| p.pgid).collect();
    let staying = staying.filter(|p| is_here(p.pgid));
    steps.extend(staying.map(|p| Step::Group(p.pid, p.pgid)));
    for p in all().filter(moved) {
        if !joined.contains(&p.pid) || !is_here(p.pgid) {
            let problem = "its members cannot be brought there again: they have changed places";
            let object = format!("process group {}", p.pid);
            found.add(|| Finding::of(p.pid, object, "plan.group", problem));
        }
        steps.push(Step::Group(p.pid, p.pgid));
    }
    steps.extend(leaders.iter().map(|(group, by)| Step::Dismiss(*group, *by)));
}
