//! All metadata of a stream, checked for references.

use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// The metadata of a stream.
#[derive(Default, Debug)]
pub struct Tree {
    /// First record.
    pub begin: Option<Begin>,
    /// Parents before children.
    pub processes: Vec<Process>,
    /// Leaders first.
    pub threads: Vec<Thread>,
    /// By process.
    pub signals: BTreeMap<Pid, ProcessSignals>,
    /// By thread.
    pub thread_signals: BTreeMap<Tid, ThreadSignals>,
    /// By process.
    pub timers: BTreeMap<Pid, Timers>,
    /// By thread.
    pub creds: BTreeMap<Tid, Creds>,
    /// By process.
    pub limits: BTreeMap<Pid, Limits>,
    /// By thread.
    pub sched: BTreeMap<Tid, Sched>,
    /// By process.
    pub fs: BTreeMap<Pid, Fs>,
    /// By process.
    pub mm: BTreeMap<Pid, Mm>,
    /// By process, ascending.
    pub vmas: BTreeMap<Pid, Vec<Vma>>,
    /// Mapped files.
    pub mapped: Vec<MappedFile>,
    /// Files without a name.
    pub objects: BTreeMap<ObjectId, Object>,
    /// Union mounts in use.
    pub unions: Vec<Union>,
    /// Open file descriptions.
    pub files: BTreeMap<FileId, OpenFile>,
    /// By process.
    pub fds: BTreeMap<Pid, Vec<Fd>>,
    /// File locks.
    pub locks: Vec<Locks>,
    /// Modes of terminals.
    pub terminals: Vec<Terminal>,
    /// Contents of pipes.
    pub pipes: BTreeMap<ObjectId, (PipeData, Vec<u8>)>,
    /// What is queued in UNIX sockets by inode: lengths of the messages, and all their bytes.
    pub queues: BTreeMap<u64, (Vec<u32>, Vec<u8>)>,
    /// Tools whose part is there.
    pub stages: BTreeSet<String>,
    /// Count of processes and threads.
    pub end: Option<TreeEnd>,
}

impl Tree {
    /// The root of the tree.
    pub fn root(&self) -> Option<&Process> {
        self.processes.first()
    }

    /// The children of a process.
    pub fn children(&self, pid: Pid) -> impl Iterator<Item = &Process> {
        let is_root = move |p: &&Process| self.root().is_some_and(|root| root.pid == p.pid);
        self.processes.iter().filter(move |p| p.ppid == pid && !is_root(p))
    }

    /// The first process that has an open file description, and its number there.
    pub fn holder(&self, id: FileId) -> Option<(Pid, FdNum)> {
        let mut tables = self.processes.iter().filter_map(|p| Some((p.pid, self.fds.get(&p.pid)?)));
        tables.find_map(|(pid, fds)| Some((pid, fds.iter().find(|fd| fd.file == id)?.fd)))
    }

    /// Process groups whose leader has ended, and a member of each. The group of the root may be one that lives on
    /// outside; it gets that of restore.
    pub fn lost_leaders(&self) -> Vec<(Pid, Pid)> {
        let known: BTreeSet<Pid> = self.processes.iter().map(|p| p.pid).collect();
        let mut lost = BTreeMap::new();
        let outside = self.root().map(|root| root.pgid);
        for p in self.processes.iter().filter(|p| !matches!(p.state, State::Zombie(_))) {
            if !known.contains(&p.pgid) && Some(p.pgid) != outside {
                lost.entry(p.pgid).or_insert(p.pid);
            }
        }
        lost.into_iter().collect()
    }

    /// An open file description as people know it.
    pub fn describe(&self, id: FileId) -> String {
        match self.holder(id) {
            Some((pid, fd)) => format!("fd {fd} of {pid}"),
            None => format!("open file {id}"),
        }
    }

    /// Whether a process, process group or thread of the tree has this id.
    pub fn has_task(&self, id: u32) -> bool {
        self.processes.iter().any(|p| p.pid.0 == id || p.pgid.0 == id)
            || self.threads.iter().any(|t| t.tid.0 == id)
    }

    /// Everything that makes the metadata not whole.
    pub fn check(&self) -> Refusals {
        let mut no = Vec::new();
        let mut say = |pid, object: &str, problem: &str| {
            no.push(Refusal {
                pid,
                object: object.into(),
                problem: problem.into(),
                hint: String::new(),
            });
        };
        for tool in ["dumpfs", "dumpmem"] {
            if !self.stages.contains(tool) {
                say(None, "the stream", &format!("has not been through {tool}"));
            }
        }
        let counts = (self.processes.len() as u32, self.threads.len() as u32);
        if self.end.as_ref().map(|e| (e.processes, e.threads)) != Some(counts) {
            say(None, "the stream", "its tree is not whole");
        }
        let mut seen = BTreeSet::new();
        for (at, p) in self.processes.iter().enumerate() {
            if at > 0 && !seen.contains(&p.ppid) {
                say(Some(p.pid), "process", "its parent is not in the tree");
            }
            seen.insert(p.pid);
            let alive = !matches!(p.state, State::Zombie(_));
            if alive
                && (!self.mm.contains_key(&p.pid)
                    || !self.threads.iter().any(|t| t.tid.0 == p.pid.0))
            {
                say(Some(p.pid), "process", "its address space or its leader is missing");
            }
            for fd in self.fds.get(&p.pid).into_iter().flatten() {
                if !self.files.contains_key(&fd.file) {
                    say(
                        Some(p.pid),
                        &format!("fd {}", fd.fd),
                        "names a file that is not in the stream",
                    );
                }
            }
        }
        for t in &self.threads {
            if t.regs.0.len() != 216 || !seen.contains(&t.pid) {
                say(Some(t.pid), "thread", "its registers or its process are missing");
            }
        }
        Refusals(no)
    }
}
