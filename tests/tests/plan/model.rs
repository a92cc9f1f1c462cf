//! A kernel of paper that plays a plan: each step must find what it needs, and in the end everything is as the records say.

use crate::wanted::{has, wanted};
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
    /// Its controlling terminal, of those of the tree.
    terminal: Option<ObjectId>,
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
    /// What each process has of what can be shared: a number for each thing.
    have: BTreeMap<(Pid, Share), usize>,
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
        have: BTreeMap::new(),
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
                self.all_exist()?;
                self.has_thread(id)?;
                must(self.late.insert(id), "it has come")
            }
            Step::Send => self.send(),
            Step::Outside | Step::Writers => must(before, "too late"),
            Step::Create(pid, maker, shares) => self.create_sharing(pid, maker, shares),
            Step::Unshare(pid, shares) => self.unshare(pid, shares),
            Step::Enter(pid) => must(self.task(pid)?.threads.len() == 1, "EINVAL: it has threads"),
            Step::Supply(pid) => self.supply(pid),
            Step::Inherit(pid) => must(!self.task(pid)?.mapped, "its own mappings are there"),
            Step::Session(pid) => self.setsid(pid),
            Step::Controlling(pid, pty) | Step::GiveUp(pid, pty) | Step::Foreground(pid, pty) => {
                self.terminal(step, pid, pty)
            }
            Step::Leader(group, by) => {
                self.create(group, Some(by))?;
                self.leaders.insert(group);
                self.setpgid(group, group)
            }
            Step::Group(pid, group) => self.setpgid(pid, group),
            Step::Place(by, pid, group) => self.place(by, pid, group),
            Step::Dismiss(group, by) => self.dismiss(group, by),
            Step::Table(pid) => self.table(pid),
            Step::Procs => self.all_exist(),
            Step::Thread(pid, tid) => self.thread(pid, tid),
            Step::Apply(phase, subject, kind) => self.apply(phase, subject, kind),
            Step::Join(_) | Step::Limit => self.cgroups(step),
            Step::Fill => {
                must(self.leaders.is_empty(), "a leader is left")?;
                let whole = |p: &Process| self.is_mapped(p.pid) && self.has_table(p.pid);
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

    fn all_exist(&self) -> Played {
        let mut all = self.tree.all::<Process>().iter();
        must(all.all(|p| self.tasks.contains_key(&p.pid)), "a process is not there yet")
    }

    fn send(&self) -> Played {
        for id in self.tree.all::<SocketQueue>().iter().flat_map(SocketQueue::files) {
            must(self.open.contains(&id), "what is carried is not open")?;
            let late = self.tree.get::<Pidfd>(id).is_some();
            must(!late || self.late.contains(&id), "what is carried comes later")?;
        }
        self.all_exist()
    }

    fn create_sharing(&mut self, pid: Pid, maker: Option<Tid>, shares: ShareSet) -> Played {
        let parent = maker.map(|maker| self.process_of(maker)).transpose()?;
        self.create(pid, parent)?;
        for share in shares.iter() {
            let parents = parent.and_then(|parent| self.have.get(&(parent, share)));
            let parents = *parents.ok_or("its parent has none")?;
            self.have.insert((pid, share), parents);
        }
        let with = |share| shares.iter().any(|found| found == share);
        let alone = with(Share::Actions) && !with(Share::Memory);
        must(!alone, "EINVAL: CLONE_SIGHAND needs CLONE_VM")
    }

    fn unshare(&mut self, pid: Pid, shares: ShareSet) -> Played {
        must(!self.task(pid)?.table, "too late")?;
        must(self.task(pid)?.threads.len() == 1, "a thread would stay behind")?;
        for share in shares.iter() {
            must(share.can_be_left(), "EINVAL: it can never be left")?;
            let next = self.have.len() + self.done.len();
            self.have.insert((pid, share), next << 32);
        }
        Ok(())
    }

    fn is_mapped(&self, pid: Pid) -> bool {
        let owner = self.tree.owner(pid, Share::Memory);
        self.tasks.get(&owner).is_some_and(|task| task.mapped)
    }

    fn has_table(&self, pid: Pid) -> bool {
        let owner = self.tree.owner(pid, Share::Table);
        self.tasks.get(&owner).is_some_and(|task| task.table)
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
        let wanted = self.tree.is_maker(tid) || self.tree.is_opened(tid);
        let early = !self.has_table(pid) && !wanted;
        must(!early, "it comes too early")?;
        let task = self.task(pid)?;
        must(task.threads.insert(tid), "there is one")
    }

    /// The thread that a file is one of.
    fn has_thread(&self, id: FileId) -> Played {
        let tid = match (self.tree.get::<Pidfd>(id), self.tree.get::<ProcFile>(id)) {
            (Some(Pidfd { target: PidfdTarget::Thread(_, tid), .. }), _) => Some(*tid),
            (_, file) => file.and_then(ProcFile::thread),
        };
        tid.map_or(Ok(()), |tid| self.process_of(tid).map(drop))
    }

    /// The process of a thread that is there.
    fn process_of(&self, tid: Tid) -> Played<Pid> {
        let mut all = self.tasks.iter();
        let found = all.find(|(_, task)| task.threads.contains(&tid));
        found.map(|(pid, _)| *pid).ok_or_else(|| format!("there is no thread {tid}"))
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
        let (tree, of) = (self.tree, |pid| self.tree.owner(pid, Share::Table));
        must(of(pid) == pid, "it is that of another one")?;
        let mut users = tree.living().filter(|p| of(p.pid) == pid);
        must(users.all(|p| self.is_mapped(p.pid)), "what is to be mapped would be closed")?;
        let task = self.task(pid)?;
        must(!task.table, "for a second time")?;
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
            Kind::MessageQueue => self.was(Step::Make(Kind::Queue))?,
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
        let (sid, pgid, terminal) = match parent {
            Some(parent) => {
                must(!self.is_mapped(parent), "it is not a stub any more")?;
                let above = self.task(parent)?;
                (above.sid, above.pgid, above.terminal)
            }
            None => (OWN, OWN, None),
        };
        let threads = BTreeSet::from([Tid(pid.0)]);
        let task = Task { parent, sid, pgid, threads, terminal, ..Task::default() };
        self.tids.insert(Tid(pid.0));
        for share in Share::ALL {
            let next = self.have.len();
            self.have.insert((pid, share), next);
        }
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
        must(self.tasks.values().all(|task| task.pgid != pid), "EPERM: a group has its id")?;
        let task = self.task(pid)?;
        (task.sid, task.pgid, task.terminal) = (pid, pid, None);
        Ok(())
    }

    /// TIOCSCTTY, TIOCNOTTY, TIOCSPGRP, through what restore keeps open.
    fn terminal(&mut self, step: &Step, pid: Pid, pty: ObjectId) -> Played {
        self.was(Step::Make(Kind::Pty))?;
        let kept = !self.has_table(pid);
        let session = self.tree.get::<Pty>(pty).and_then(|pty| pty.session);
        let (leader, group) = session.ok_or("it is that of no session")?;
        let task = self.task(pid)?;
        must(kept && task.sid == leader, "ENOTTY: it is that of another session")?;
        if let Step::Controlling(..) = step {
            must(pid == leader && task.terminal.is_none(), "EPERM: it leads none, or has one")?;
            task.terminal = Some(pty);
            return Ok(());
        }
        must(task.terminal == Some(pty), "ENOTTY: it has none")?;
        if let Step::GiveUp(..) = step {
            task.terminal = None;
            return must(pid != leader, "all would lose it");
        }
        let mut all = self.tasks.values();
        must(all.any(|task| task.sid == leader && task.pgid == group), "ESRCH: no such group")
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

    fn place(&mut self, by: Pid, pid: Pid, group: Pid) -> Played {
        must(self.task(pid)?.parent == Some(by), "ESRCH: it is no child of it")?;
        self.setpgid(pid, group)
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
        let has_table = self.has_table(pid);
        let early = building && phase < Phase::Settings;
        must(!early || !has_table, "what it needs of restore is closed")?;
        let open = self.open.clone();
        let (mapped, task) = (self.is_mapped(pid), self.task(pid)?);
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
                must(has_table == (phase != Phase::Watches), "the numbers are, or are not, free")?;
            }
        }
        task.mapped |= phase == Phase::Map;
        must(mapped || task.mapped, "it has no memory")
    }

    fn leave(&mut self, pid: Pid) -> Played {
        self.was(Step::Seal)?;
        let all = self.tree.threads(pid).map(|thread| thread.tid).collect();
        let task = self.task(pid)?;
        must(task.threads == all, "not all of its threads are there")?;
        must(task.phase == Some(Phase::Last), "it is not whole")?;
        must(!std::mem::replace(&mut task.left, true), "for a second time")?;
        let mut sharers = self.tree.sharers(Share::Memory, pid).iter();
        let left = sharers.all(|sharer| self.tasks.get(sharer).is_some_and(|task| task.left));
        must(left, "another one is still in its hole")
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
            let mut own = self.tree.all::<Pty>().iter();
            let own = own.find(|pty| pty.session.is_some_and(|(session, _)| session == p.sid));
            let own = own.map(|pty| pty.id).filter(|_| p.tty_nr != 0);
            let right = task.terminal == own || matches!(p.state, State::Zombie(_));
            must(right, &wrong("controlling terminal"))?;
            let ends = !matches!(p.state, State::Alive);
            must(self.dying.contains(&p.pid) == ends, &wrong("state"))?;
        }
        for share in Share::ALL {
            let of = |pid| self.have.get(&(pid, share));
            for p in self.tree.living() {
                let owner = self.tree.owner(p.pid, share);
                must(of(p.pid) == of(owner), &format!("{} has its own {share:?}", p.pid))?;
            }
            let owners = self.tree.living().filter(|p| p.shares.of(share) == p.pid);
            let mut seen = BTreeSet::new();
            let mut owners = owners.map(|p| of(p.pid));
            let apart = owners.all(|thing| seen.insert(thing));
            must(apart, &format!("{share:?} is shared by too many"))?;
        }
        let mut unions = 0..self.tree.all::<Union>().len() as u32;
        unions.try_for_each(|row| self.was(Step::Union(row)))?;
        for wanted in wanted(self.tree) {
            must(self.done.contains(&wanted), &format!("never done: {wanted}"))?;
        }
        Ok(())
    }
}
