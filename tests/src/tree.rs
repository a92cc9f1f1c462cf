//! A complete tree of processes that never lived: every record that a restore wants, of which a test says only what matters
//! to it.

use crate::made;
use floe_plan::Machine;
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// XCR0 of the made processes: x87, SSE and AVX.
const XFEATURES: u64 = 7;
/// Bytes of an XSAVE block with those.
const XSTATE: usize = 832;
/// The only namespaces that there are, one for each kind.
const FIRST_NAMESPACE: u64 = 4_026_531_835;

/// A machine on which made trees can be restored.
pub fn machine() -> Machine {
    Machine {
        taken: Vec::new(),
        xfeatures: XFEATURES,
        xstate_len: XSTATE,
        cpu: Cpu {
            words: Vec::new(),
            layout: vec![StateComponent { number: 2, offset: 576, size: 256 }],
        },
        pid_max: 4_194_304,
        descriptors: 1 << 20,
        capabilities: u64::MAX,
        filtered: false,
        limits: vec![u64::MAX; 16],
        oom_score_adj: -1000,
        pipe: u32::MAX,
    }
}

/// Builds a tree.
#[derive(Clone, Default)]
pub struct Builder {
    processes: Vec<Process>,
    threads: BTreeMap<Pid, Vec<Tid>>,
    tables: BTreeMap<Pid, BTreeMap<FdNum, FileId>>,
    vmas: BTreeMap<Pid, Vec<Vma>>,
    files: Vec<(u32, AnyRecord)>,
    more: BTreeMap<(Kind, String), AnyRecord>,
    xstate: Option<(u64, usize)>,
}

impl Builder {
    /// A tree with nothing but its root, which leads a session.
    pub fn new(root: u32) -> Self {
        let mut new = Self::default();
        new.process(root, 1, |_| {});
        new
    }

    /// A child; in the session and the process group of its parent, unless `change` says otherwise.
    pub fn process(&mut self, pid: u32, parent: u32, change: impl FnOnce(&mut Process)) {
        let mut new = made::process(Pid(pid));
        (new.ppid, new.maker) = (Pid(parent), Tid(parent));
        if let Some(above) = self.processes.iter().find(|p| p.pid.0 == parent) {
            (new.sid, new.pgid) = (above.sid, above.pgid);
        }
        change(&mut new);
        self.processes.push(new);
        self.threads.entry(Pid(pid)).or_default().push(Tid(pid));
    }

    /// Changes a process.
    pub fn change(&mut self, pid: u32, change: impl FnOnce(&mut Process)) {
        if let Some(p) = self.processes.iter_mut().find(|p| p.pid.0 == pid) {
            change(p);
        }
    }

    /// Another thread of a process.
    pub fn thread(&mut self, pid: u32, tid: u32) {
        self.threads.entry(Pid(pid)).or_default().push(Tid(tid));
    }

    /// What a process maps, in the place of one page of memory and one of its program.
    pub fn vmas(&mut self, pid: u32, vmas: Vec<Vma>) {
        self.vmas.insert(Pid(pid), vmas);
    }

    /// An open file description with these flags.
    pub fn file<T: Record>(&mut self, flags: u32, what: impl FnOnce(FileId) -> T) -> FileId {
        let id = FileId(self.files.len() as u32);
        self.files.push((flags, what(id).any()));
        id
    }

    /// A descriptor.
    pub fn fd(&mut self, pid: u32, fd: u32, file: FileId) {
        self.tables.entry(Pid(pid)).or_default().insert(FdNum(fd), file);
    }

    /// Another record; in the place of the standard one of its kind and key where there is one.
    pub fn add(&mut self, record: impl Record) {
        let record = record.any();
        self.more.insert(key(&record), record);
    }

    /// With the extended state of this machine, for tools that look at it.
    pub fn of_this_machine(&mut self) {
        self.xstate = Some(floe_sys::extended_state());
    }

    /// All records in the order of a stream.
    pub fn records(&self) -> Vec<AnyRecord> {
        let root = self.processes.first().map_or(made::NOBODY, |root| root.pid);
        let (xfeatures, xstate) = self.xstate.unwrap_or((XFEATURES, XSTATE));
        let mut all = vec![Begin { root, xfeatures, ..made::begin() }.any()];
        for p in &self.processes {
            all.push(p.clone().any());
            if !matches!(p.state, State::Zombie(_)) {
                self.living(p.pid, xstate, &mut all);
            }
        }
        all.extend(namespaces());
        let dead = self.processes.iter().filter(|p| matches!(p.state, State::Zombie(_)));
        let processes = self.processes.len() as u32;
        let threads: usize = self.threads.values().map(Vec::len).sum();
        let threads = threads as u32 - dead.count() as u32;
        all.push(TreeEnd { processes, threads }.any());
        self.described(&mut all);
        all.extend(["dumpfs", "dumpmem"].map(|tool| Stage { tool: tool.into() }.any()));
        let known: BTreeSet<_> = all.iter().map(key).collect();
        for record in &mut all {
            if let Some(other) = self.more.get(&key(record)) {
                *record = other.clone();
            }
        }
        all.extend(
            self.more.iter().filter(|(key, _)| !known.contains(key)).map(|(_, it)| it.clone()),
        );
        all
    }

    fn living(&self, pid: Pid, xstate: usize, all: &mut Vec<AnyRecord>) {
        let vmas = self.vmas.get(&pid).cloned().unwrap_or_else(standard_vmas);
        all.extend(of_process(pid, vmas));
        for tid in self.threads.get(&pid).into_iter().flatten() {
            all.extend(of_thread(pid, *tid, xstate));
        }
    }

    fn described(&self, all: &mut Vec<AnyRecord>) {
        let mut first = BTreeMap::new();
        for (pid, table) in &self.tables {
            for file in table.values() {
                first.entry(*file).or_insert(*pid);
            }
        }
        for (id, (flags, what)) in self.files.iter().enumerate() {
            let (id, kind) = (FileId(id as u32), what.kind().number());
            let pid = first.get(&id).copied().unwrap_or(made::NOBODY);
            all.push(OpenFile { id, pid, flags: *flags, pos: 0, kind }.any());
            all.push(what.clone());
        }
        for (&pid, table) in &self.tables {
            let fds: Vec<Fd> =
                table.iter().map(|(&fd, &file)| Fd { fd, file, cloexec: false }).collect();
            for fds in fds.chunks(65_536) {
                all.push(FdTable { pid, fds: fds.to_vec() }.any());
            }
        }
    }

    /// All records as a tree.
    ///
    /// # Panics
    /// Where two have the same key.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        for record in self.records() {
            tree.insert(record).expect("each record once");
        }
        tree
    }

    /// All records as a stream.
    ///
    /// # Errors
    /// None that happen in memory.
    pub fn stream(&self) -> floe_stream::Result<Vec<u8>> {
        let mut out = floe_stream::Writer::new(Vec::new());
        for mut record in self.records() {
            out.any(&record)?;
            if record.content_len() > 0 {
                out.bulk(record.content().map_or(&[], |content| content))?;
            }
        }
        out.end()
    }
}

/// Kind and key of a record.
pub fn key(record: &AnyRecord) -> (Kind, String) {
    struct Key;
    impl Visitor for Key {
        type Output = String;
        fn visit<T: Record>(self, record: &T) -> String {
            format!("{:?}", record.key())
        }
    }
    (record.kind(), record.visit(Key))
}

fn standard_vmas() -> Vec<Vma> {
    let memory = Vma {
        kind: VmaKind::Anon,
        file: None,
        name: None,
        prot: 3,
        flags: "rdwrmrmwmeac".into(),
        ..made::mapping(0x60_0000, 0x60_1000, b"/bin/true")
    };
    vec![made::mapping(0x40_0000, 0x40_1000, b"/bin/true"), memory]
}

/// Every record of a process that is nothing special.
fn of_process(pid: Pid, vmas: Vec<Vma>) -> Vec<AnyRecord> {
    let at = |from: u64, to: u64| (Addr(from), Addr(to));
    let ns = |kind: u64| NsId(FIRST_NAMESPACE + kind);
    let mm = Mm {
        pid,
        exe: made::file(b"/bin/true"),
        code: at(0x40_0000, 0x40_1000),
        data: at(0x60_0000, 0x60_1000),
        brk: at(0x70_0000, 0x70_0000),
        stack: Addr(0x7ffd_0000_0000),
        args: at(0, 0),
        env: at(0, 0),
        auxv: vec![0; 16].into(),
        vdso_hash: 0,
        keys: 0,
    };
    let (cwd, root) = (made::file(b"/"), made::file(b"/"));
    let namespaces = Namespaces {
        pid,
        cgroup: ns(0),
        ipc: ns(1),
        mnt: ns(2),
        net: ns(3),
        pid_ns: ns(4),
        pid_for_children: ns(4),
        time: ns(5),
        time_for_children: ns(5),
        user: ns(6),
        uts: ns(7),
    };
    let (personality, dumpable, oom_score_adj) = (0, 1, 0);
    let (child_subreaper, thp_disabled) = (false, false);
    vec![
        namespaces.any(),
        Vmas { pid, vmas }.any(),
        mm.any(),
        Fs { pid, cwd, root, umask: 0o22 }.any(),
        Settings { pid, personality, dumpable, child_subreaper, thp_disabled, oom_score_adj }.any(),
        // No higher than anybody may set them.
        Limits { pid, limits: vec![(0, 0); 16] }.any(),
        ProcessSignals { pid, actions: Vec::new(), queued: Vec::new(), children: Vec::new() }.any(),
        Timers { pid, itimers: [(0, 0); 3], posix: Vec::new() }.any(),
        Audit { pid, login_uid: None }.any(),
        DumpFilter { pid, bits: Some(0x33) }.any(),
        Autogroup { pid, nice: None }.any(),
        Membarrier { pid, registered: 0 }.any(),
        Aio { pid, contexts: Vec::new() }.any(),
        Keyring { pid, session: None }.any(),
    ]
}

/// Every record of a thread that is nothing special.
fn of_thread(pid: Pid, tid: Tid, xstate: usize) -> Vec<AnyRecord> {
    let thread = Thread { xstate: vec![0; xstate].into(), ..made::thread(pid, tid) };
    // No alternate stack: SS_DISABLE.
    let altstack = (Addr(0), 2, 0);
    let attr = [&56u32.to_ne_bytes()[..], &[0; 52]].concat();
    let affinity = [&[1][..], &[0; 7]].concat();
    let (caps, groups, securebits, no_new_privs) = ([0; 5], Vec::new(), 0, false);
    vec![
        thread.any(),
        ThreadSignals { pid, tid, mask: 0, altstack, queued: Vec::new() }.any(),
        Sched { pid, tid, attr: attr.into(), affinity: affinity.into(), timerslack_ns: 50_000 }
            .any(),
        Creds { pid, tid, uids: [0; 4], gids: [0; 4], groups, caps, securebits, no_new_privs }
            .any(),
        Prctls { pid, tid, values: Vec::new() }.any(),
        IoPriority { pid, tid, value: 0 }.any(),
        MemoryPolicy { pid, tid, mode: 0, nodes: Bytes::default() }.any(),
        Seccomp { pid, tid, strict: false, filters: Vec::new() }.any(),
    ]
}

/// Those of the machine that wrote the stream.
fn namespaces() -> Vec<AnyRecord> {
    let space = |(at, kind): (usize, &NsKind)| {
        let id = NsId(FIRST_NAMESPACE + at as u64);
        let (kind, mounts) = (*kind, Vec::new());
        Namespace {
            id,
            kind,
            parent: None,
            owner: None,
            inherited: true,
            initial: true,
            cookie: None,
            mounts,
        }
        .any()
    };
    NsKind::ALL.iter().enumerate().map(space).collect()
}
