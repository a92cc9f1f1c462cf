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

    /// Whether pages belong where memory of the tree is, all of them. Where they do not, nobody knows what they would
    /// overwrite.
    pub fn has_room_for(&self, pages: &Pages) -> bool {
        let Some(end) = pages.addr.0.checked_add(u64::from(pages.len)) else { return false };
        let vmas = self.vmas.get(&pages.pid).map_or(&[][..], Vec::as_slice);
        let behind = &vmas[vmas.partition_point(|vma| vma.end <= pages.addr)..];
        let mut at = pages.addr.0;
        for vma in behind.iter().take_while(|vma| vma.start.0 < end) {
            if vma.start.0 > at || !vma.is_carried() {
                return false;
            }
            at = vma.end.0;
        }
        at >= end
    }

    /// Whether content belongs into an object of the tree.
    pub fn has_object_for(&self, data: &ObjectData) -> bool {
        let end = data.offset.checked_add(u64::from(data.len));
        self.objects.get(&data.id).zip(end).is_some_and(|(object, end)| end <= object.size)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn vma(start: u64, end: u64, kind: VmaKind, shared: bool) -> Vma {
        Vma {
            start: Addr(start),
            end: Addr(end),
            prot: 3,
            shared,
            kind,
            offset: 0,
            file: None,
            name: None,
            flags: Vec::new().into(),
            guards: Vec::new(),
        }
    }

    #[test]
    fn pages_go_where_memory_is() {
        let mut tree = Tree::default();
        let vmas = vec![
            vma(0x1000, 0x3000, VmaKind::Anon, false),
            vma(0x3000, 0x5000, VmaKind::File, false),
            vma(0x5000, 0x6000, VmaKind::File, true),
            vma(0x8000, 0x9000, VmaKind::Vdso, false),
        ];
        tree.vmas.insert(Pid(7), vmas);
        let fits =
            |pid, addr, len| tree.has_room_for(&Pages { pid: Pid(pid), addr: Addr(addr), len });
        assert!(fits(7, 0x1000, 0x2000) && fits(7, 0x2000, 0x3000) && fits(7, 0x4000, 0x1000));
        assert!(!fits(1, 0x1000, 0x1000), "a stranger");
        assert!(!fits(7, 0, 0x2000) && !fits(7, 0x6000, 0x1000), "nothing is there");
        assert!(
            !fits(7, 0x4000, 0x2000) && !fits(7, 0x8000, 0x1000),
            "it is not the process's own"
        );
        assert!(!fits(7, u64::MAX - 0xfff, 0x2000), "beyond all");
    }

    #[test]
    fn content_goes_into_its_object() {
        let mut tree = Tree::default();
        let id = ObjectId { dev: 1, ino: 2 };
        let fits = |tree: &Tree, offset, len| tree.has_object_for(&ObjectData { id, offset, len });
        assert!(!fits(&tree, 0, 1));
        let kind = ObjectKind::SharedAnon;
        tree.objects.insert(id, Object { id, kind, size: 5000, mode: 0, uid: 0, gid: 0 });
        assert!(fits(&tree, 0, 5000) && fits(&tree, 4096, 904));
        assert!(!fits(&tree, 4096, 905) && !fits(&tree, u64::MAX, 2));
    }
}
