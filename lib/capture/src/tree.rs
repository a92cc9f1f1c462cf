//! A whole process tree that stands still, and its records.

use crate::{
    Result,
    connections::{Connections, Left},
    copies::Mapped,
    frozen::Thawed,
    held::{Held, release},
    kept::Kept,
    known::Ranks,
    look::{self, Before},
    network, parallel,
    process::ids::ids,
    question, resource, seize,
    subject::{self, Process},
};
use floe_proc::Stat;
use floe_records::{
    AnyRecord, Finding, Options, Pid, Record, Refusals, Shares, State, Tree as Records,
};
use floe_tracee::Tracee;
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Pid of the init of a pid namespace, inside of it.
pub const INIT: u32 = 1;

/// A tree that is held by this thread, parents before children. When the thread ends, all of it runs on, or is frozen as it was.
#[derive(Debug)]
pub struct Tree {
    pub(crate) held: Vec<Held>,
    pub(crate) thawed: Thawed,
    connections: OnceCell<Connections>,
    ranks: Ranks,
    kept: RefCell<Kept>,
    /// What the look before the stop alone could see.
    lost: Vec<Finding>,
    /// Whether a process of it takes orphans in, by PR_SET_CHILD_SUBREAPER.
    pub(crate) has_subreaper: Cell<bool>,
    /// Mappings of the processes that were asked, by pid.
    pub(crate) mapped: RefCell<BTreeMap<u32, Mapped>>,
}

impl Tree {
    /// Stops every thread of every process below and including `root`. What is frozen is thawed until the tree is let go.
    pub fn seize(root: u32, before: Before) -> Result<Self> {
        let Before { frozen, ranks, kept, lost } = before;
        Self::arrange(root, seize::stop(root, frozen)?, (ranks, kept, lost))
    }

    fn arrange(
        root: u32,
        (pids, mut seized, thawed): seize::Stopped,
        (ranks, kept, lost): (Ranks, Kept, Vec<Finding>),
    ) -> Result<Self> {
        let mut all = Vec::new();
        let mut refusals = Vec::new();
        for &(pid, maker) in &pids {
            let stat = Stat::of(pid)?;
            let maker = if maker == 0 { stat.ppid } else { maker };
            let mut threads: Vec<Tracee> =
                subject::tids(pid)?.iter().filter_map(|tid| seized.remove(tid)).collect();
            threads.sort_by_key(|t| t.tid() as u32 != pid);
            if stat.is_dead() && (pid == root || !threads.is_empty()) {
                let problem = "it, or its main thread, has ended";
                refusals.push(Finding::of(Pid(pid), "the process", "process.leader", problem));
            }
            let zombie = stat.is_dead().then_some(stat.exit_code as u32);
            all.push(Held { pid, stat, maker, threads, zombie });
        }
        // Threads that were killed meanwhile are nobody's any more.
        release(seized.into_values());
        let tree = Self {
            held: all,
            thawed,
            connections: OnceCell::new(),
            ranks,
            lost,
            kept: RefCell::new(kept),
            has_subreaper: Cell::new(false),
            mapped: RefCell::default(),
        };
        if refusals.is_empty() {
            return Ok(tree);
        }
        tree.detach();
        Err(Refusals(refusals).into())
    }

    /// The processes, parents before children.
    pub fn processes(&self) -> &[Held] {
        &self.held
    }

    /// How many threads are held.
    pub fn threads(&self) -> usize {
        self.held.iter().map(|p| p.threads.len()).sum()
    }

    /// XCR0 as the kernel notes it in each extended state block.
    pub fn xfeatures(&self) -> Result<u64> {
        let Some(leader) = self.held.first().and_then(|p| p.threads.first()) else { return Ok(0) };
        let xstate = leader.xstate()?;
        Ok(xstate.get(464..472).and_then(|b| b.try_into().ok()).map_or(3, u64::from_ne_bytes))
    }

    /// All records, after a last look. The processes are asked, and put back exactly as they were. The network is kept away from
    /// their TCP connections from here on.
    pub fn capture(&self, options: &Options) -> Result<Vec<AnyRecord>> {
        network::begin_reading();
        let living = self.held.iter().filter(|held| held.zombie.is_none());
        let read = parallel::each_of(living.collect(), 2, Held::read);
        let mut processes: Vec<Process<'_>> = read.collect::<Result<_>>()?;
        let mut children: BTreeMap<u32, Vec<(u32, Stat)>> = BTreeMap::new();
        for held in &self.held {
            children.entry(held.stat.ppid).or_default().push((held.pid, held.stat.clone()));
        }
        for process in &mut processes {
            process.children = children.remove(&process.pid).unwrap_or_default();
            process.children.sort_by_key(|(pid, _)| *pid);
        }
        let (mut found, sharing, files, cgroups) = {
            let mut kept = self.kept.take();
            look::held(&self.held, &processes, options, (&self.ranks, &mut kept))?
        };
        processes.iter_mut().for_each(|process| process.shares = sharing.of(process.pid));
        found.lost.extend(self.lost.iter().cloned());
        found.refusals()?;
        let (mut all, mut asked) = (Vec::new(), floe_records::Findings::default());
        if let Some(connections) = Connections::hold(&files)? {
            all.push(self.connections.get_or_init(|| connections).record().any());
        }
        let mut processes = processes.iter();
        for held in &self.held {
            match held.zombie {
                Some(status) => {
                    let shares = Shares::none(Pid(held.pid));
                    all.push(
                        ids(held.pid, held.maker, shares, &held.stat, State::Zombie(status)).any(),
                    );
                }
                None => {
                    if let Some(process) = processes.next() {
                        question::ask(process, &mut all, &mut asked)?;
                        let mapped = Mapped::of(&process.layout);
                        self.mapped.borrow_mut().insert(held.pid, mapped);
                    }
                }
            }
        }
        found.lost.extend(look::told(asked, options)?.lost);
        let is_subreaper =
            |record: &AnyRecord| matches!(record, AnyRecord::Settings(it) if it.child_subreaper);
        self.has_subreaper.set(all.iter().any(is_subreaper));
        let mut tree = Records::default();
        let _ = tree.insert(options.clone().any());
        let described =
            |it: &&AnyRecord| matches!(it, AnyRecord::Namespaces(_) | AnyRecord::Process(_));
        for record in all.iter().filter(described) {
            // A process has one record of each kind.
            let _ = tree.insert(record.clone());
        }
        for (queue, _) in files.message_queues.values() {
            // Those that are open are described by dumpfs.
            let _ = tree.insert(queue.clone().any());
        }
        all.extend(resource::namespaces(tree)?);
        all.extend(cgroups.records(options, &self.thawed)?);
        all.extend(files.entries.into_iter().map(Record::any));
        if !found.lost.is_empty() {
            all.push(floe_records::Losses { tool: "freeze".into(), lost: found.lost }.any());
        }
        Ok(all)
    }

    /// The processes that run when they are let go: those that have not ended, and that job control has not stopped.
    pub fn running(&self) -> Vec<u32> {
        let runs = |held: &&Held| held.threads.first().is_some_and(|t| t.stopped_by().is_none());
        self.held.iter().filter(runs).map(|held| held.pid).collect()
    }

    /// Sends a signal to every process.
    pub fn signal(&self, signal: i32) -> Result<()> {
        for held in self.held.iter().filter(|p| p.zombie.is_none()) {
            let pidfd = floe_sys::pidfd_open(held.pid as i32)?;
            floe_sys::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal)
                .map_err(|e| e.pid(held.pid))?;
        }
        Ok(())
    }

    /// Kills every process while it stands still, and waits until their ids are free. Gives the pids whose
    /// parent has not waited for them when none has become free for the time of `patience`. The network stays locked for a restore,
    /// unless the tree `lives` elsewhere.
    ///
    /// Where the root is pid 1 of our own pid namespace, the kernel kills it, and us with it, when this thread ends: the
    /// caller must end now.
    pub fn kill(mut self, patience: Duration, lives: bool) -> Result<Vec<u32>> {
        let mut left = match self.kill_at_our_end() {
            Ok(left) => left,
            Err(error) => {
                self.detach();
                return Err(error);
            }
        };
        // There is no way back: it dies with us, as a whole.
        left.iter_mut().for_each(Left::silence);
        if self.held.first().is_some_and(|root| root.pid == INIT) {
            self.thawed.leave();
            left.map_or(Ok(()), Left::keep)?;
            return Ok(Vec::new());
        }
        self.signal(libc::SIGKILL)?;
        let pids: Vec<u32> = self.held.iter().map(|p| p.pid).collect();
        // A tracee that was killed is first reported to its tracer, and only then to its parent.
        // Which one comes to its end waits for which others is not known: a leader does for the threads of its process, and that
        // thread of the init of a pid namespace which is the last one does for all that was in it.
        let mut tracees: Vec<Tracee> = self.held.into_iter().flat_map(|p| p.threads).collect();
        while !tracees.is_empty() {
            let before = tracees.len();
            tracees.retain(|tracee| !tracee.has_ended());
            if tracees.len() == before {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        left.map_or(Ok(()), Left::keep)?;
        if let Some(connections) = self.connections.get_mut().filter(|_| lives) {
            connections.forget()?;
        }
        let (mut left, mut begin) = (pids, Instant::now());
        loop {
            let before = left.len();
            left.retain(|&pid| floe_proc::path(pid, "stat").exists());
            if left.len() < before {
                begin = Instant::now();
            }
            if left.is_empty() || begin.elapsed() > patience {
                return Ok(left);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Has all of it die when this thread ends, and its connections in silence. No other signal from inside of a pid namespace ends
    /// its pid 1.
    fn kill_at_our_end(&self) -> Result<Option<Left>> {
        let root = self.held.first().map_or(0, |root| root.pid);
        let left = self.connections.get().map(|connections| connections.leave(root)).transpose()?;
        left.as_ref().map_or(Ok(()), Left::turn)?;
        let tracees = || self.held.iter().flat_map(|held| &held.threads);
        for tracee in tracees() {
            match tracee.set_options(floe_tracee::OPTIONS | libc::PTRACE_O_EXITKILL) {
                // Somebody else has killed it.
                Err(e) if e.cause().raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => {
                    tracees().for_each(|tracee| drop(tracee.set_options(floe_tracee::OPTIONS)));
                    return Err(e.into());
                }
                Ok(()) => {}
            }
        }
        Ok(left)
    }

    /// Lets everything run on.
    pub fn detach(self) {
        let Self { held: all, thawed, connections, .. } = self;
        let mut locked = connections.into_inner();
        if locked.as_mut().is_some_and(|locked| locked.unlock().is_err()) {
            locked = None;
        }
        // None of them runs an instruction in between.
        drop(thawed);
        release(all.into_iter().flat_map(|p| p.threads));
        // Which takes longer than the rest.
        drop(locked);
    }
}
