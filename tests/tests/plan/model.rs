//! A kernel of paper that plays a plan: each step must find what it needs, and in the end everything is as the records say.

use floe_plan::{Phase, Step, Subject};
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

type Played<T = ()> = Result<T, String>;

fn must(holds: bool, problem: &str) -> Played {
    if holds { Ok(()) } else { Err(problem.to_owned()) }
}

/// Session and process group of restore itself.
const OWN: Pid = Pid(0);

#[derive(Default)]
struct Task {
    parent: Option<Pid>,
    sid: Pid,
    pgid: Pid,
    mapped: bool,
    table: bool,
    threads: BTreeSet<Tid>,
    phase: Option<Phase>,
    /// How far each thread is in what it goes through by itself.
    own_phases: BTreeMap<Tid, Phase>,
    /// Files that it took when they had come late.
    fetched: BTreeSet<FileId>,
    left: bool,
}

struct World<'a> {
    tree: &'a Tree,
    tasks: BTreeMap<Pid, Task>,
    tids: BTreeSet<Tid>,
    leaders: BTreeSet<Pid>,
    /// Steps that come once, by how they print themselves.
    done: BTreeSet<String>,
    open: BTreeSet<FileId>,
    late: BTreeSet<FileId>,
    dying: BTreeSet<Pid>,
}

/// Plays all steps.
pub fn play(tree: &Tree, steps: &[Step]) -> Played {
    let mut world = World {
        tree,
        tasks: BTreeMap::new(),
        tids: BTreeSet::new(),
        leaders: BTreeSet::new(),
        done: BTreeSet::new(),
        open: BTreeSet::new(),
        late: BTreeSet::new(),
        dying: BTreeSet::new(),
    };
    for step in steps {
        world.step(step).map_err(|problem| format!("{step}: {problem}"))?;
        let new = world.done.insert(format!("{step:?}"));
        must(new, &format!("{step}: it is done twice"))?;
    }
    world.end()
}

impl World<'_> {
    fn was(&self, step: Step) -> Played {
        must(self.done.contains(&format!("{step:?}")), &format!("behind nothing like: {step}"))
    }

    fn task(&mut self, pid: Pid) -> Played<&mut Task> {
        self.tasks.get_mut(&pid).ok_or_else(|| format!("there is no {pid}"))
    }

    fn step(&mut self, step: &Step) -> Played {
        let before = self.tasks.is_empty();
        match *step {
            Step::Union(row) => {
                must(self.tree.all::<Union>().get(row as usize).is_some(), "there is none")?;
                must(self.was(Step::Places).is_err(), "something came before")
            }
            Step::Places => must(before, "too late"),
            Step::Make(kind) => {
                must(before && kind.scope() == Scope::object, "none, or too late")?;
                self.was(Step::Places)
            }
            Step::Prepare(_) => self.was(Step::Places),
            Step::Program(pid) | Step::Mapped(pid) => self.maps(pid),
            Step::Open(id, kind) => self.opens(id, kind),
            Step::Late(id, kind) => {
                self.was(Step::Open(id, kind))?;
                let all = self.tree.all::<Process>();
                let exist = all.iter().all(|p| self.tasks.contains_key(&p.pid));
                must(exist, "a process is not there yet")?;
                must(self.late.insert(id), "it has come")
            }
            Step::Outside | Step::Writers => must(before, "too late"),
            Step::Create(pid, parent) => self.create(pid, parent),
            Step::Supply(pid) => self.supply(pid),
            Step::Inherit(pid) => {
                let task = self.task(pid)?;
                must(!task.mapped, "its own mappings are there")
            }
            Step::Session(pid) => self.setsid(pid),
            Step::Leader(group, by) => {
                self.create(group, Some(by))?;
                self.leaders.insert(group);
                self.setpgid(group, group)
            }
            Step::Group(pid, group) => self.setpgid(pid, group),
            Step::Dismiss(group, by) => self.dismiss(group, by),
            Step::Table(pid) => self.table(pid),
            Step::Thread(pid, tid) => self.thread(pid, tid),
            Step::Apply(phase, subject, kind) => self.apply(phase, subject, kind),
            Step::Join(_) | Step::Limit => self.cgroups(step),
            Step::Fill => {
                must(self.leaders.is_empty(), "a leader is left")?;
                let whole =
                    |p: &Process| self.tasks.get(&p.pid).is_some_and(|t| t.mapped && t.table);
                must(self.tree.living().all(whole), "something has no memory yet")
            }
            Step::Seal => self.was(Step::Fill),
            Step::Leave(pid) => self.leave(pid),
            Step::Die(_) | Step::Stop(_) => self.state(step),
            Step::Lend(_) | Step::Masks => self.last(),
            Step::Pipes => self.was(Step::Masks),
            Step::Guard | Step::Release => {
                self.was(Step::Pipes)?;
                must(*step == Step::Guard || self.was(Step::Guard).is_ok(), "nobody guards them")
            }
            Step::Connect => {
                self.was(Step::Guard)?;
                must(self.was(Step::Release).is_err(), "it runs already")
            }
            Step::Dismissal => self.was(Step::Release),
        }
    }

    fn cgroups(&self, step: &Step) -> Played {
        must(!self.tree.all::<Cgroup>().is_empty(), "there is no cgroup")?;
        match *step {
            Step::Join(tid) => must(self.tids.contains(&tid), "it is not there"),
            _ => self.was(Step::Pipes),
        }
    }

    fn thread(&mut self, pid: Pid, tid: Tid) -> Played {
        must(!self.tasks.contains_key(&Pid(tid.0)), "a process has that id")?;
        must(self.tids.insert(tid), "there is one")?;
        let task = self.task(pid)?;
        must(task.table, "it would have another table")?;
        must(task.threads.insert(tid), "there is one")
    }

    fn dismiss(&mut self, group: Pid, by: Pid) -> Played {
        must(self.leaders.remove(&group), "it leads nothing")?;
        must(self.task(group)?.parent == Some(by), "it is no child of it")?;
        self.tasks.remove(&group);
        Ok(())
    }

    fn maps(&self, pid: Pid) -> Played {
        must(self.tasks.is_empty(), "too late")?;
        let id = |file: &FileRef| ObjectId { dev: file.dev, ino: file.ino };
        let exe = self.tree.get::<Mm>(pid).ok_or("it has no numbers")?;
        let maps = self.tree.vmas(pid).filter(|vma| vma.kind == VmaKind::Object);
        let maps = maps.filter_map(|vma| vma.file.as_ref());
        for object in maps.chain(Some(&exe.exe).filter(|exe| exe.deleted)) {
            self.was(Step::Make(Kind::Object))?;
            must(self.tree.get::<Object>(id(object)).is_some(), "no such object")?;
        }
        self.was(Step::Places)
    }

    fn table(&mut self, pid: Pid) -> Played {
        for fd in self.tree.fds(pid) {
            must(self.open.contains(&fd.file), "a file is not open")?;
            self.is_whole(pid, fd.file)?;
        }
        let task = self.task(pid)?;
        must(task.mapped && !task.table, "not mapped, or for a second time")?;
        task.table = true;
        Ok(())
    }

    /// Whether a process has the file itself, and not what kept its place.
    fn is_whole(&self, pid: Pid, file: FileId) -> Played {
        let fetched = self.tasks.get(&pid).is_some_and(|task| task.fetched.contains(&file));
        must(fetched == self.late.contains(&file), "it has what kept the place of a file")
    }

    fn opens(&mut self, id: FileId, kind: Kind) -> Played {
        let open = self.tree.get::<OpenFile>(id).ok_or("there is no such file")?;
        must(open.kind == kind.number() && kind.scope() == Scope::file, "it is another kind")?;
        must(self.tasks.is_empty(), "no process would have it")?;
        match kind {
            Kind::UnixSocket => self.was(Step::Prepare(kind))?,
            Kind::NamelessFile => {
                self.was(Step::Make(Kind::Object))?;
                let file = self.tree.get::<NamelessFile>(id).ok_or("it is none")?;
                must(self.tree.get::<Object>(file.object).is_some(), "it has no content")?;
            }
            Kind::Pipe if !self.tree.all::<PipeData>().is_empty() => {
                self.was(Step::Make(Kind::PipeData))?;
            }
            _ => {}
        }
        must(self.open.insert(id), "it is open")
    }

    fn create(&mut self, pid: Pid, parent: Option<Pid>) -> Played {
        must(pid.0 > 0 && !self.tids.contains(&Tid(pid.0)), "the id is taken")?;
        must(self.tree.all::<OpenFile>().len() == self.open.len(), "a file would be missing")?;
        must(parent.is_some() || self.tasks.is_empty(), "there are two roots")?;
        if parent.is_none() {
            for p in self.tree.living() {
                self.was(Step::Program(p.pid))?;
                self.was(Step::Mapped(p.pid))?;
            }
        }
        let (sid, pgid) = match parent {
            Some(parent) => {
                let above = self.task(parent)?;
                must(!above.mapped, "it is not a stub any more")?;
                (above.sid, above.pgid)
            }
            None => (OWN, OWN),
        };
        let threads = BTreeSet::from([Tid(pid.0)]);
        let task = Task { parent, sid, pgid, threads, ..Task::default() };
        self.tids.insert(Tid(pid.0));
        must(self.tasks.insert(pid, task).is_none(), "the id is taken")
    }

    /// Its parent is still a stub, and it is not there.
    fn supply(&mut self, pid: Pid) -> Played {
        must(!self.tasks.contains_key(&pid), "it is too late for it")?;
        let parent = self.tree.get::<Process>(pid).ok_or("there is no such process")?.ppid;
        let mapped = self.task(parent)?.mapped;
        must(!mapped, "its parent is not a stub any more")
    }

    /// setsid(2).
    fn setsid(&mut self, pid: Pid) -> Played {
        let leads = self.tasks.values().any(|task| task.pgid == pid);
        must(!leads, "EPERM: a process group has its id")?;
        let task = self.task(pid)?;
        (task.sid, task.pgid) = (pid, pid);
        Ok(())
    }

    /// setpgid(2).
    fn setpgid(&mut self, pid: Pid, group: Pid) -> Played {
        let sid = self.task(pid)?.sid;
        must(sid != pid, "EPERM: it leads a session")?;
        let here = self.tasks.values().any(|task| task.pgid == group && task.sid == sid);
        must(pid == group || here, "EPERM: there is no such group in its session")?;
        self.task(pid)?.pgid = group;
        Ok(())
    }

    fn apply(&mut self, phase: Phase, subject: Subject, kind: Kind) -> Played {
        let tree = self.tree;
        if phase == Phase::Opened {
            let Subject::File(pid, fd, file) = subject else { return Err("of no file".into()) };
            must(self.tasks.is_empty(), "too late")?;
            must(tree.fd(pid, fd).is_some_and(|fd| fd.file == file), "it has another file there")?;
            return must(self.open.contains(&file), "it is not open");
        }
        let pid = match subject {
            Subject::Process(pid) | Subject::Thread(pid, _) | Subject::File(pid, ..) => pid,
        };
        must(has(tree, subject, kind), "there is no such record")?;
        let (filled, sealed) = (self.was(Step::Fill), self.was(Step::Seal));
        let building = Phase::BUILD.contains(&phase);
        must(building != filled.is_ok() && building != sealed.is_ok(), "before or behind memory")?;
        if let (Phase::Fetch, Subject::File(_, _, file)) = (phase, subject) {
            self.was(Step::Late(file, kind))?;
            let task = self.task(pid)?;
            must(!task.table, "its number is closed")?;
            task.fetched.insert(file);
        }
        if let (Phase::Watches, Subject::File(_, _, file)) = (phase, subject) {
            let watches = tree.get::<Epoll>(file).map_or(&[][..], |epoll| &epoll.watches);
            watches.iter().try_for_each(|watch| self.is_whole(pid, watch.file))?;
        }
        let open = self.open.clone();
        let task = self.task(pid)?;
        let late = "a later phase came before";
        if (Phase::Register..=Phase::ParentDeath).contains(&phase) {
            let before = task.own_phases.insert(subject.tid(), phase);
            must(task.phase <= Some(phase) && before <= Some(phase), late)?;
        } else {
            must(task.phase <= Some(phase), late)?;
            task.phase = Some(phase);
        }
        match subject {
            Subject::Process(_) => {}
            Subject::Thread(_, tid) => must(task.threads.contains(&tid), "it has no such thread")?,
            // Taken for all descriptors of the process.
            Subject::File(..) if phase == Phase::Fetch => {}
            Subject::File(_, fd, file) => {
                must(tree.fd(pid, fd).is_some_and(|fd| fd.file == file), "it has another there")?;
                must(open.contains(&file), "it is not open")?;
                must(task.table == (phase != Phase::Watches), "the numbers are, or are not, free")?;
            }
        }
        task.mapped |= phase == Phase::Map;
        must(task.mapped, "it has no memory")
    }

    fn leave(&mut self, pid: Pid) -> Played {
        self.was(Step::Seal)?;
        let all = self.tree.threads(pid).map(|thread| thread.tid).collect();
        let task = self.task(pid)?;
        must(task.threads == all, "not all of its threads are there")?;
        must(task.phase == Some(Phase::Last), "it is not whole")?;
        must(!std::mem::replace(&mut task.left, true), "for a second time")
    }

    /// What comes when nothing runs in the hole any more.
    fn last(&mut self) -> Played {
        let left = |p: &Process| self.tasks.get(&p.pid).is_some_and(|task| task.left);
        must(self.tree.living().all(left), "something is still in the hole")
    }

    /// The parent is told of it, and can still take the news before it has its own queue.
    fn state(&mut self, step: &Step) -> Played {
        self.was(Step::Seal)?;
        let early = |p: &Process| {
            self.tasks.get(&p.pid).is_some_and(|task| task.phase < Some(Phase::Queue))
        };
        must(self.tree.living().all(early), "a parent has its queue")?;
        let (pid, state) = match *step {
            Step::Die(pid) | Step::Stop(pid) => (pid, self.tree.get::<Process>(pid)),
            _ => return Ok(()),
        };
        let state = state.map(|p| p.state);
        let dies = matches!(step, Step::Die(_));
        must(dies == matches!(state, Some(State::Zombie(_))), "its state is another one")?;
        must(self.tasks.contains_key(&pid), "it was never made")?;
        must(self.dying.insert(pid), "for a second time")
    }

    /// Everything is as the records say.
    fn end(&mut self) -> Played {
        self.was(Step::Dismissal)?;
        must(self.tasks.len() == self.tree.all::<Process>().len(), "more or fewer processes")?;
        let lost: BTreeSet<Pid> =
            self.tree.lost_leaders().iter().map(|(group, _)| *group).collect();
        for (at, p) in self.tree.all::<Process>().iter().enumerate() {
            let task = self.tasks.get(&p.pid).ok_or_else(|| format!("{} is missing", p.pid))?;
            let is = |id: Pid| if self.tree.get::<Process>(id).is_some() { id } else { OWN };
            let group = if lost.contains(&p.pgid) { p.pgid } else { is(p.pgid) };
            let wrong = |what: &str| format!("{} has another {what}", p.pid);
            must(task.sid == is(p.sid), &wrong("session"))?;
            must(task.pgid == group, &wrong("process group"))?;
            must(task.parent == (at > 0).then_some(p.ppid), &wrong("parent"))?;
            let ends = !matches!(p.state, State::Alive);
            must(self.dying.contains(&p.pid) == ends, &wrong("state"))?;
        }
        let unions = 0..self.tree.all::<Union>().len() as u32;
        unions.into_iter().try_for_each(|row| self.was(Step::Union(row)))?;
        for wanted in wanted(self.tree) {
            must(self.done.contains(&wanted), &format!("never done: {wanted}"))?;
        }
        Ok(())
    }
}

macro_rules! list {
    (
        frame $frame:tt
        namespace $namespace:tt
        process { $($p:ident: $P:ident $pk:literal $pv:literal [$($pp:ident)*];)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal [$($tp:ident)*];)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal [$($fp:ident)*];)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal [$($dp:ident)*];)* }
        object $object:tt
        bulk $bulk:tt
    ) => {
        /// Whether a resource is there to be applied.
        fn has(tree: &Tree, subject: Subject, kind: Kind) -> bool {
            match (kind, subject) {
                $((Kind::$P, Subject::Process(pid)) => {
                    tree.all::<floe_records::$P>().iter().any(|row| row.pid == pid)
                })*
                $((Kind::$T, Subject::Thread(pid, tid)) => {
                    tree.get::<floe_records::$T>(tid).is_some_and(|row| row.pid == pid)
                })*
                $((Kind::$F, Subject::File(_, _, file)) => {
                    tree.get::<floe_records::$F>(file).is_some()
                })*
                $((Kind::$D, Subject::File(pid, fd, file)) => {
                    tree.attached::<floe_records::$D>(pid, fd, file).is_some()
                })*
                _ => false,
            }
        }

        /// Every application of a resource that the list calls for, as its step prints itself.
        fn wanted(tree: &Tree) -> Vec<String> {
            let mut all = Vec::new();
            let mut want = |phase: Phase, subject: Subject, kind: Kind| {
                match (phase, subject) {
                    (Phase::Prepare, _) => {}
                    (Phase::Late, Subject::File(_, _, file)) => {
                        all.push(format!("{:?}", Step::Late(file, kind)));
                    }
                    _ => all.push(format!("{:?}", Step::Apply(phase, subject, kind))),
                }
            };
            for p in tree.living() {
                $($(want(Phase::$pp, Subject::Process(p.pid), Kind::$P);)*)*
            }
            for t in tree.all::<Thread>() {
                $($(want(Phase::$tp, Subject::Thread(t.pid, t.tid), Kind::$T);)*)*
            }
            $($(
                for row in tree.all::<floe_records::$F>() {
                    let (pid, fd) = tree.holder(row.file).expect("somebody has it");
                    want(Phase::$fp, Subject::File(pid, fd, row.file), Kind::$F);
                }
            )*)*
            $($(
                for row in tree.all::<floe_records::$D>() {
                    let (pid, fd) = match row.attached() {
                        Attached::Description(file) => tree.holder(file).expect("somebody has it"),
                        Attached::Descriptor(pid, fd) => (pid, fd),
                    };
                    let file = tree.fd(pid, fd).expect("it is there").file;
                    want(Phase::$dp, Subject::File(pid, fd, file), Kind::$D);
                }
            )*)*
            all
        }
    };
}
floe_records::resources!(list);
