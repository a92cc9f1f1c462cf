//! Random trees, grown as real ones are: by fork, setsid, setpgid, exit, open and dup.

use floe_records::*;
use floe_tests::{made, tree::Builder};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that a process does: what, who, and with what.
pub type Deed = (u8, u16, u16);

/// Session and process group outside of the tree.
const OUTER: Pid = Pid(50);
const FIRST: u32 = 100;

#[derive(Clone)]
struct Task {
    pid: Pid,
    ppid: Pid,
    maker: Tid,
    pgid: Pid,
    sid: Pid,
    state: State,
    threads: Vec<u32>,
    fds: BTreeMap<u32, usize>,
}

enum What {
    Event,
    Regular,
    Pipe(u64, u32),
    Epoll(Vec<(u32, usize)>),
    Pidfd(Pid),
    Unix(u64, u64),
}

struct World {
    tasks: Vec<Task>,
    files: Vec<What>,
    locks: BTreeSet<(Pid, u32)>,
    owners: BTreeSet<usize>,
    next: u32,
}

/// The tree that is there when all deeds are done.
pub fn grow(deeds: &[Deed]) -> Builder {
    let root = Task {
        pid: Pid(FIRST),
        ppid: Pid(1),
        maker: Tid(1),
        pgid: OUTER,
        sid: OUTER,
        state: State::Alive,
        threads: Vec::new(),
        fds: BTreeMap::new(),
    };
    let mut world = World {
        tasks: vec![root],
        files: Vec::new(),
        locks: BTreeSet::new(),
        owners: BTreeSet::new(),
        next: FIRST + 1,
    };
    deeds.iter().for_each(|deed| world.does(*deed));
    world.build()
}

impl World {
    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn does(&mut self, (what, who, with): Deed) {
        let living: Vec<usize> = (0..self.tasks.len())
            .filter(|at| !matches!(self.tasks[*at].state, State::Zombie(_)))
            .collect();
        let at = living[usize::from(who) % living.len()];
        let pid = self.tasks[at].pid;
        let leads = self.tasks[at].sid == pid;
        match what % 16 {
            0..=3 => {
                let (child, state) = (Pid(self.id()), State::Alive);
                let threads = Vec::new();
                let parent = self.tasks[at].clone();
                let makers = [&[pid.0], &parent.threads[..]].concat();
                let maker = Tid(makers[usize::from(with) % makers.len()]);
                self.tasks.push(Task { pid: child, ppid: pid, maker, state, threads, ..parent });
            }
            4 if self.tasks.iter().all(|task| task.pgid != pid) => {
                (self.tasks[at].sid, self.tasks[at].pgid) = (pid, pid);
            }
            5 if !leads => self.tasks[at].pgid = pid,
            6 if !leads => {
                let other = &self.tasks[usize::from(with) % self.tasks.len()];
                if other.sid == self.tasks[at].sid {
                    self.tasks[at].pgid = other.pgid;
                }
            }
            7 if at > 0 => self.exits(at, with),
            8 => self.reaps(with),
            9 => {
                let tid = self.id();
                self.tasks[at].threads.push(tid);
            }
            10 | 11 => self.opens(at, with),
            12 => {
                let Some((&fd, &file)) = self.some_fd(at, with) else { return };
                self.tasks[at].fds.insert(fd + u32::from(with % 7) + 1, file);
            }
            13 => {
                let Some((&fd, &file)) = self.some_fd(at, with) else { return };
                match self.files[file] {
                    What::Regular => drop(self.locks.insert((pid, fd))),
                    _ => drop(self.owners.insert(file)),
                }
            }
            14 => self.tasks[at].state = State::Stopped(19),
            15 => {
                let first = self.some_fd(at, with).map(|(fd, _)| *fd);
                first.map(|fd| self.tasks[at].fds.remove(&fd));
            }
            _ => {}
        }
    }

    fn some_fd(&self, at: usize, with: u16) -> Option<(&u32, &usize)> {
        let fds = &self.tasks[at].fds;
        fds.iter().nth(usize::from(with) % fds.len().max(1))
    }

    /// Its children go to the root, as to a subreaper.
    fn exits(&mut self, at: usize, with: u16) {
        let (pid, root) = (self.tasks[at].pid, self.tasks[0].pid);
        let orphans = self.tasks.iter_mut().filter(|task| task.ppid == pid);
        orphans.for_each(|task| (task.ppid, task.maker) = (root, Tid(root.0)));
        let mut task = self.tasks.remove(at);
        task.state = State::Zombie(u32::from(with) & 0xff00);
        task.threads.clear();
        task.fds.clear();
        self.tasks.push(task);
    }

    fn reaps(&mut self, with: u16) {
        let dead = |task: &&Task| matches!(task.state, State::Zombie(_));
        let all: Vec<Pid> = self.tasks.iter().filter(dead).map(|task| task.pid).collect();
        if !all.is_empty() {
            let gone = all[usize::from(with) % all.len()];
            self.tasks.retain(|task| task.pid != gone);
        }
    }

    fn opens(&mut self, at: usize, with: u16) {
        let new = self.files.len();
        let mut made = vec![new];
        match with % 6 {
            0 => self.files.push(What::Event),
            1 => self.files.push(What::Regular),
            2 => {
                made.push(new + 1);
                self.files.extend([0, 1].map(|end| What::Pipe(new as u64 + 1, end)));
            }
            3 => {
                let known = self.tasks[at].fds.iter();
                let known = known.filter(|(_, file)| !matches!(self.files[**file], What::Regular));
                let watched = known.map(|(fd, file)| (*fd, *file)).take(usize::from(with / 6) % 4);
                self.files.push(What::Epoll(watched.collect()));
            }
            4 => {
                let task = &self.tasks[usize::from(with / 6) % self.tasks.len()];
                self.files.push(What::Pidfd(task.pid));
            }
            _ => {
                made.push(new + 1);
                let (a, b) = (2 * new as u64 + 2, 2 * new as u64 + 3);
                self.files.extend([What::Unix(a, b), What::Unix(b, a)]);
            }
        }
        for file in made {
            let free = (0..).find(|fd| !self.tasks[at].fds.contains_key(fd));
            free.map(|fd| self.tasks[at].fds.insert(fd, file));
        }
    }

    fn build(mut self) -> Builder {
        // Parents come before their children: an orphan that was given to the root stands behind it.
        let mut order = vec![0];
        let mut next = 0;
        while next < order.len() {
            let pid = self.tasks[order[next]].pid;
            order.extend((1..self.tasks.len()).filter(|at| self.tasks[*at].ppid == pid));
            next += 1;
        }
        let tasks: Vec<Task> = order.iter().map(|at| self.tasks[*at].clone()).collect();
        self.tasks = tasks;
        let mut builder = Builder::new(FIRST);
        for (at, task) in self.tasks.iter().enumerate() {
            let put =
                |p: &mut Process| (p.pgid, p.sid, p.state) = (task.pgid, task.sid, task.state);
            match at {
                0 => builder.change(FIRST, put),
                _ => builder.process(task.pid.0, task.ppid.0, |p| {
                    p.maker = task.maker;
                    put(p);
                }),
            }
            task.threads.iter().for_each(|tid| builder.thread(task.pid.0, *tid));
        }
        self.files(&mut builder);
        builder
    }

    fn files(&self, builder: &mut Builder) {
        let mut ids: BTreeMap<usize, FileId> = BTreeMap::new();
        let mut holders: BTreeMap<usize, Pid> = BTreeMap::new();
        for task in &self.tasks {
            for file in task.fds.values() {
                holders.entry(*file).or_insert(task.pid);
            }
        }
        // Whom an epoll instance watches is older than itself.
        for (&file, &pid) in &holders {
            ids.insert(file, self.file(file, pid, &ids, builder));
        }
        for task in &self.tasks {
            task.fds.iter().for_each(|(fd, file)| builder.fd(task.pid.0, *fd, ids[file]));
            let timer = task.threads.first().map(|tid| PosixTimer {
                id: 1,
                clock: 1,
                notify: 4,
                signal: 40,
                value: Addr(0),
                tid: Some(Tid(*tid)),
                interval_ns: 1,
                left_ns: 1,
                overrun: 0,
            });
            let posix: Vec<PosixTimer> = timer.into_iter().collect();
            if !posix.is_empty() {
                builder.add(Timers { pid: task.pid, itimers: [(0, 0); 3], posix });
            }
        }
        for &(pid, fd) in &self.locks {
            let task = self.tasks.iter().find(|task| task.pid == pid);
            let file = task.and_then(|task| task.fds.get(&fd));
            if file.is_some_and(|file| matches!(self.files[*file], What::Regular)) {
                let (kind, exclusive) = (LockKind::Posix, true);
                let locks = vec![Lock { kind, exclusive, start: 0, last: Some(9) }];
                builder.add(Locks { pid, fd: FdNum(fd), locks });
            }
        }
        for file in self.owners.iter().filter_map(|file| ids.get(file)) {
            builder.add(Owner { file: *file, kind: 1, id: FIRST, signal: 0, uids: None });
        }
    }

    fn file(
        &self,
        file: usize,
        pid: Pid,
        ids: &BTreeMap<usize, FileId>,
        builder: &mut Builder,
    ) -> FileId {
        match &self.files[file] {
            What::Event => builder.file(2, |file| Eventfd { file, count: 1, semaphore: false }),
            What::Regular => {
                let name = made::file(b"/data");
                builder.file(2, |file| made::regular(file, pid, name))
            }
            &What::Pipe(ino, end) => {
                builder.file(end, |file| Pipe { file, pipe: ObjectId { dev: 3, ino } })
            }
            What::Epoll(watched) => {
                let there = watched.iter().filter_map(|(fd, file)| Some((fd, ids.get(file)?)));
                let watch = |(fd, file): (&u32, &FileId)| EpollWatch {
                    fd: FdNum(*fd),
                    file: *file,
                    events: 1,
                    data: 0,
                };
                let watches = there.map(watch).collect();
                builder.file(2, |file| Epoll { file, watches })
            }
            &What::Pidfd(pid) => {
                let task = self.tasks.iter().find(|task| task.pid == pid);
                let target = match task.map(|task| task.threads.last()) {
                    Some(Some(tid)) if file.is_multiple_of(2) => {
                        PidfdTarget::Thread(pid, Tid(*tid))
                    }
                    Some(_) => PidfdTarget::Process(pid),
                    None => PidfdTarget::Ended(Some(9)),
                };
                builder.file(2, |file| Pidfd { file, target, inode: None })
            }
            &What::Unix(ino, peer) => {
                let pair = [ino, peer].map(|ino| (ino / 2 - 1) as usize + (ino % 2) as usize);
                // One whose peer nobody has any more hears that it has gone.
                let other =
                    self.tasks.iter().any(|task| task.fds.values().any(|it| *it == pair[1]));
                builder
                    .file(2, |file| made::unix(file, pid, ino, Some(if other { peer } else { 0 })))
            }
        }
    }
}
