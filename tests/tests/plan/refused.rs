//! What a plan refuses, one by one: a fault in a tree that is otherwise whole, and the rule that finds it.

use floe_plan::{Extent, Machine, allow, forget_features, plan};
use floe_records::*;
use floe_tests::{
    made,
    tree::{Builder, machine},
};

/// Two processes with threads, files of most kinds, and mappings.
pub fn whole() -> Builder {
    let mut tree = Builder::new(100);
    let pid = Pid(100);
    tree.process(200, 100, |p| p.pgid = Pid(200));
    tree.process(300, 200, |p| (p.pgid, p.state) = (Pid(200), State::Zombie(0)));
    tree.thread(100, 101);
    let event = tree.file(2, |file| Eventfd { file, count: 0, semaphore: false });
    let name = made::file(b"/data");
    let data = tree.file(2, |file| made::regular(file, pid, name));
    let watches = vec![EpollWatch { fd: FdNum(9), file: event, events: 1, data: 0 }];
    let epoll = tree.file(2, |file| Epoll { file, watches });
    let target = PidfdTarget::Process(Pid(300));
    let pidfd = tree.file(2, |file| Pidfd { file, target, inode: None });
    let uring = tree.file(2, made::ring);
    for (fd, file) in [event, data, epoll, pidfd, uring].into_iter().enumerate() {
        tree.fd(100, fd as u32, file);
        tree.fd(200, fd as u32 + 5, file);
    }
    let lock = Lock { kind: LockKind::Posix, exclusive: true, start: 5, last: Some(9) };
    tree.add(Locks { pid, fd: FdNum(1), locks: vec![lock] });
    tree.add(Owner { file: event, kind: 1, id: 100, signal: 0, uids: None });
    tree
}

pub fn rules(tree: &Tree, machine: &Machine) -> Vec<String> {
    match plan(tree, machine) {
        Ok(_) => Vec::new(),
        Err(no) => no.0.into_iter().map(|finding| finding.rule).collect(),
    }
}

pub fn refuses(what: &str, tree: &Tree, rule: &str) {
    let found = rules(tree, &machine());
    assert!(found.iter().any(|found| found == rule), "{what}: {rule} is not among {found:?}");
}

/// A ring where memory is, without events.
fn ring(head: u32, tail: u32) -> AioContext {
    AioContext { at: Addr(0x60_0000), nr: 127, head, tail, events: Bytes::default() }
}

/// The same tree without the records of a kind, but those that are kept.
fn without<T: Record>(tree: &Tree, keep: impl Fn(&T) -> bool) -> Tree {
    let kept: Vec<T> = tree.all::<T>().iter().filter(|row| keep(row)).cloned().collect();
    let mut new = Tree::default();
    let all = whole().records().into_iter().filter(|record| record.kind().number() != T::KIND);
    all.for_each(|record| new.insert(record).expect("once"));
    kept.into_iter().for_each(|row| new.insert(row.any()).expect("once"));
    new
}

#[test]
fn it_is_whole_otherwise() {
    assert_eq!(rules(&whole().tree(), &machine()), Vec::<String>::new());
}

macro_rules! refused {
    ($($what:ident: $rule:literal $type:ident |$row:ident| $change:expr;)*) => {
        /// A field of a record that it cannot have.
        #[test]
        fn fields() {
            $(
                let changed = whole().tree().map(|$row: &mut $type| $change);
                // Another key may be taken, which is told when the tree is read.
                if let Ok(tree) = changed {
                    refuses(stringify!($what), &tree, $rule);
                }
            )*
        }
    };
}
refused! {
    format: "plan.stream" Begin |r| r.format = 99;
    arch: "plan.stream" Begin |r| r.arch = "riscv64".into();
    page_size: "plan.stream" Begin |r| r.page_size = 16384;
    xfeatures: "plan.cpu" Begin |r| r.xfeatures = 0xe7;
    root: "plan.stream" Begin |r| r.root = Pid(200);
    counts: "plan.stream" TreeEnd |r| r.threads = 9;
    stage: "plan.stream" Stage |r| r.tool.push('x');
    orphan: "plan.parent" Process |r| if r.pid.0 == 200 { r.ppid = Pid(7) };
    own_parent: "plan.parent" Process |r| if r.pid.0 == 200 { r.ppid = Pid(200) };
    later_parent: "plan.parent" Process |r| if r.pid.0 == 200 { r.ppid = Pid(300) };
    dead_parent: "plan.parent" Process |r| if r.pid.0 == 200 { r.state = State::Zombie(0) };
    strange_maker: "plan.parent" Process |r| if r.pid.0 == 200 { r.maker = Tid(200) };
    shares_with_a_stranger: "plan.shares" Process |r| if r.pid.0 == 200 { r.shares.table = Pid(7) };
    shares_with_a_later_one: "plan.shares" Process |r| if r.pid.0 == 100 { r.shares.table = Pid(200) };
    shares_actions_alone: "plan.shares" Process |r| if r.pid.0 == 200 { r.shares.actions = Pid(100) };
    shares_memory_and_has_some: "plan.shares" Process |r| if r.pid.0 == 200 { r.shares.memory = Pid(100) };
    shares_and_is_dead: "plan.shares" Process |r| if r.pid.0 == 300 { r.shares.table = Pid(100) };
    circle: "plan.parent" Process |r| if r.pid.0 == 100 { r.ppid = Pid(200) };
    dead_root: "plan.root" Process |r| if r.pid.0 == 100 { r.state = State::Zombie(0) };
    zombie_has_memory: "plan.orphan" Process |r| if r.pid.0 == 200 { r.state = State::Zombie(0) };
    zombie_lives: "plan.missing" Process |r| if r.pid.0 == 300 { r.state = State::Alive };
    leads_session_only: "plan.session" Process |r| if r.pid.0 == 200 { r.sid = Pid(200); r.pgid = Pid(100) };
    group_in_two: "plan.group" Process |r| if r.pid.0 == 300 { r.sid = Pid(300) };
    group_of_a_thread: "plan.group" Process |r| if r.pid.0 == 200 { r.pgid = Pid(101) };
    group_too_high: "plan.group" Process |r| if r.pid.0 == 200 { r.pgid = Pid(1 << 22) };
    group_zero: "plan.group" Process |r| if r.pid.0 == 200 { r.pgid = Pid(0) };
    strange_session: "plan.session" Process |r| if r.pid.0 == 300 { r.sid = Pid(77); r.pgid = Pid(77) };
    exit_signal: "plan.ids" Process |r| r.exit_signal = 65;
    stop_signal: "plan.ids" Process |r| if r.pid.0 == 200 { r.state = State::Stopped(65) };
    wait_status: "plan.ids" Process |r| if r.pid.0 == 300 { r.state = State::Zombie(1 << 16) };
    thread_of_none: "plan.orphan" Thread |r| if r.tid.0 == 101 { r.pid = Pid(9) };
    thread_of_another: "plan.pid" Thread |r| if r.tid.0 == 200 { r.pid = Pid(100) };
    comm: "plan.registers" Thread |r| r.comm = "sixteen letters.".into();
    regs: "plan.registers" Thread |r| r.regs.0.truncate(215);
    rseq: "plan.registers" Thread |r| r.rseq = Some(Rseq { addr: Addr(1 << 63), len: 32, signature: 0 });
    xstate_short: "plan.xstate" Thread |r| r.xstate.0.truncate(831);
    xstate_long: "plan.xstate" Thread |r| r.xstate.0.extend([0; 64]);
    xstate_unknown: "plan.xstate" Thread |r| r.xstate.0[513] = 1;
    xstate_compact: "plan.xstate" Thread |r| r.xstate.0[527] = 0x80;
    mxcsr: "plan.xstate" Thread |r| r.xstate.0[27] = 1;
    altstack: "plan.thread_signals" ThreadSignals |r| r.altstack = (Addr(0x1000), 4, 8192);
    altstack_small: "plan.thread_signals" ThreadSignals |r| r.altstack = (Addr(0x1000), 0, 100);
    siginfo: "plan.thread_signals" ThreadSignals |r| r.queued = vec![vec![1; 127].into()];
    signal_none: "plan.process_signals" ProcessSignals |r| r.queued = vec![vec![0; 128].into()];
    sched: "plan.sched" Sched |r| r.attr.0.truncate(40);
    sched_size: "plan.sched" Sched |r| r.attr.0[0] = 200;
    no_cpu: "plan.sched" Sched |r| r.affinity.0[0] = 0;
    creds_of_another: "plan.orphan" Creds |r| if r.tid.0 == 101 { r.pid = Pid(200) };
    limits: "plan.limits" Limits |r| r.limits.truncate(15);
    limit_order: "plan.limits" Limits |r| r.limits[3] = (9, 8);
    fs: "plan.fs" Fs |r| r.cwd.path = "relative".into();
    long_path: "plan.fs" Fs |r| r.cwd.path = vec![b'/'; 4096].into();
    nul: "plan.regular" Regular |r| r.name.path = b"/a\0b"[..].into();
    umask: "plan.fs" Fs |r| r.umask = 0o1000;
    dumpable: "plan.settings" Settings |r| r.dumpable = 3;
    auxv: "plan.mm" Mm |r| r.auxv = vec![0; 2000].into();
    code: "plan.mm" Mm |r| r.code = (Addr(5), Addr(5));
    high_stack: "plan.mm" Mm |r| r.stack = Addr(1 << 47);
    gone_program: "plan.reference" Mm |r| r.exe.deleted = true;
    unknown_namespace: "plan.reference" Namespaces |r| r.net = NsId(5);
    other_namespace: "plan.reference" Namespaces |r| std::mem::swap(&mut r.net, &mut r.ipc);
    vma_backwards: "plan.vmas" Vmas |r| r.vmas[1].end = Addr(0x50_0000);
    vma_order: "plan.vmas" Vmas |r| r.vmas[1].start = Addr(0x40_0000);
    vma_aligned: "plan.vmas" Vmas |r| r.vmas[1].end = Addr(0x60_1001);
    vma_kernel: "plan.vmas" Vmas |r| r.vmas[1].end = Addr(0xffff_8000_0000_0000);
    vsyscall: "plan.vmas" Vmas |r| r.vmas[1].kind = VmaKind::Vsyscall;
    vma_file: "plan.vmas" Vmas |r| r.vmas[0].file = None;
    vma_anon_file: "plan.vmas" Vmas |r| r.vmas[0].kind = VmaKind::Anon;
    vma_offset: "plan.vmas" Vmas |r| r.vmas[0].offset = u64::MAX - 4095;
    vma_object: "plan.reference" Vmas |r| r.vmas[0].kind = VmaKind::Object;
    vma_ring: "plan.reference" Vmas |r| r.vmas[0].kind = VmaKind::Ring;
    vma_key: "plan.vmas" Vmas |r| r.vmas[1].key = 16;
    huge_size: "plan.vmas" Vmas |r| r.vmas[1].huge = Some(HugePages { size: 3 << 20, present: 0 });
    huge_aligned: "plan.vmas" Vmas |r| r.vmas[1].huge = Some(HugePages { size: 1 << 21, present: 0 });
    collapsed: "plan.vmas" Vmas |r| r.vmas[1].collapsed = vec![(Addr(0x60_0000), Addr(0x60_2000))];
    ring_of_none: "plan.aio" Vmas |r| r.vmas[1].kind = VmaKind::Aio;
    ring_unmapped: "plan.aio" Aio |r| r.contexts = vec![ring(0, 0)];
    ring_events: "plan.aio" Aio |r| r.contexts = vec![ring(3, 2)];
    ring_head: "plan.aio" Aio |r| r.contexts = vec![ring(127, 0)];
    vma_prot: "plan.vmas" Vmas |r| r.vmas[0].prot = 8;
    guard_outside: "plan.vmas" Vmas |r| r.vmas[1].guards = vec![(Addr(0x60_0000), Addr(0x60_2000))];
    guard_odd: "plan.vmas" Vmas |r| r.vmas[1].guards = vec![(Addr(0x60_0000), Addr(0x60_0800))];
    fd_order: "plan.fd_table" FdTable |r| r.fds.swap(1, 2);
    fd_twice: "plan.fd_table" FdTable |r| r.fds[2].fd = r.fds[1].fd;
    fd_file: "plan.descriptor" FdTable |r| r.fds[1].file = FileId(99);
    fd_high: "plan.descriptors" FdTable |r| r.fds[2].fd = FdNum(u32::MAX);
    kind: "plan.orphan" OpenFile |r| if r.id.0 == 0 { r.kind = 67 };
    no_kind: "plan.file" OpenFile |r| if r.id.0 == 0 { r.kind = 50 };
    holder: "plan.reference" OpenFile |r| r.pid = Pid(9);
    offset: "plan.open_file" OpenFile |r| r.pos = 1 << 63;
    watch_of_none: "plan.reference" Epoll |r| r.watches[0].file = FileId(99);
    watch_twice: "plan.epoll" Epoll |r| r.watches.push(r.watches[0]);
    watch_itself: "plan.epoll" Epoll |r| r.watches[0].file = r.file;
    watch_regular: "plan.epoll" Epoll |r| r.watches[0].file = FileId(1);
    uring_ahead: "plan.io_uring" IoUring |r| r.cq_head = 6;
    counter: "plan.eventfd" Eventfd |r| r.count = u64::MAX;
    pidfd_of_none: "plan.reference" Pidfd |r| r.target = PidfdTarget::Process(Pid(101));
    pidfd_of_no_thread: "plan.reference" Pidfd |r| r.target = PidfdTarget::Thread(Pid(300), Tid(9999));
    pidfd_of_stopped: "plan.pidfd" Pidfd |r| r.target = PidfdTarget::Ended(Some(19));
    pidfd_of_core: "plan.pidfd" Pidfd |r| r.target = PidfdTarget::Ended(Some(0x8b));
    pidfd_of_both: "plan.pidfd" Pidfd |r| r.target = PidfdTarget::Ended(Some(0x109));
    lock_order: "plan.locks" Locks |r| r.locks[0].start = 10;
    lock_of_none: "plan.orphan" Locks |r| r.fd = FdNum(77);
    owner_kind: "plan.owner" Owner |r| r.kind = 3;
    owner_of_none: "plan.orphan" Owner |r| r.file = FileId(99);
}

#[test]
fn every_record_of_a_living_process_and_thread_is_missed() {
    let tree = whole().tree();
    let kept = |pid: Pid| pid.0 != 200;
    refuses("mm", &without::<Mm>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("vmas", &without::<Vmas>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("fs", &without::<Fs>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("limits", &without::<Limits>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("timers", &without::<Timers>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("namespaces", &without::<Namespaces>(&tree, |r| kept(r.pid)), "plan.missing");
    refuses("creds", &without::<Creds>(&tree, |r| r.tid.0 != 101), "plan.missing");
    refuses("sched", &without::<Sched>(&tree, |r| r.tid.0 != 101), "plan.missing");
    refuses("release", &without::<Prctls>(&tree, |_| false), "plan.release");
    refuses("table", &without::<FdTable>(&tree, |_| false), "plan.file");
    refuses("kind", &without::<Eventfd>(&tree, |_| false), "plan.file");
    refuses("open file", &without::<OpenFile>(&tree, |r| r.id.0 != 0), "plan.descriptor");
    refuses("leader", &without::<Thread>(&tree, |r| r.tid.0 != 200), "plan.missing");
    refuses("begin", &without::<Begin>(&tree, |_| false), "plan.stream");
    refuses("nothing", &Tree::default(), "plan.stream");
}

/// The whole tree and a change.
fn with(change: impl Fn(&mut Builder)) -> Tree {
    let mut tree = whole();
    change(&mut tree);
    tree.tree()
}

#[test]
fn threads_timers_and_mappings() {
    let tree = with(|tree| tree.thread(200, 300));
    refuses("a thread with the id of a process", &tree, "plan.pid");
    let posix = vec![PosixTimer {
        id: 0,
        clock: 1,
        notify: 4,
        signal: 40,
        value: Addr(0),
        tid: Some(Tid(101)),
        interval_ns: 0,
        left_ns: 0,
        overrun: 0,
    }];
    let timers = |posix| Timers { pid: Pid(200), itimers: [(0, 0); 3], posix };
    let tree = with(|tree| tree.add(timers(posix.clone())));
    refuses("a timer for a thread of another process", &tree, "plan.timers");
    let tree = with(|tree| tree.add(timers([&posix[..], &posix].concat())));
    refuses("two timers of one id", &tree, "plan.timers");
    let second = made::mapping(0x40_0000, 0x40_1000, b"/bin/other");
    let first = made::mapping(0x30_0000, 0x40_1000, b"/bin/other");
    let tree = with(|tree| {
        tree.vmas(200, vec![first.clone()]);
        tree.add(Vmas { pid: Pid(200), vmas: vec![second.clone()] });
    });
    refuses("mappings of two records overlap", &tree, "plan.vmas");
}

#[test]
fn files_and_objects() {
    let tree = with(|tree| {
        let orphan = tree.file(2, |file| Eventfd { file, count: 0, semaphore: false });
        assert!(orphan.0 > 0);
    });
    refuses("a file that nobody has", &tree, "plan.file");
    let other = |file| Timerfd {
        file,
        clock: 1,
        settime_flags: 0,
        ticks: 0,
        left_ns: 0,
        date_ns: None,
        interval_ns: 0,
    };
    let tree = with(|tree| tree.add(other(FileId(0))));
    refuses("a file that is two things", &tree, "plan.orphan");
    let tree = with(|tree| tree.add(other(FileId(9))));
    refuses("a kind of no file", &tree, "plan.orphan");
    let tree = with(|tree| tree.add(FdTable { pid: Pid(300), fds: Vec::new() }));
    refuses("descriptors of a zombie", &tree, "plan.reference");
    let pipe = |packets: &[u32], len, capacity| PipeData {
        id: ObjectId { dev: 1, ino: 1 },
        capacity,
        len,
        packets: packets.to_vec(),
        bytes: Vec::new(),
    };
    for (packets, len, capacity) in [(&[1, 2][..], 4, 9), (&[0, 4], 4, 9), (&[], 10, 9)] {
        let tree = with(|tree| tree.add(pipe(packets, len, capacity)));
        refuses("a pipe that does not add up", &tree, "plan.pipe_data");
    }
    let union = |fs_type: &str| Union {
        point: "/u".into(),
        fs_type: fs_type.into(),
        source: "none".into(),
        flags: "rw".into(),
        root: "/".into(),
        branches: Vec::new(),
        options: "rw".into(),
    };
    let tree = with(|tree| tree.add(union("ext4")));
    refuses("no union", &tree, "plan.union");
    assert_eq!(rules(&with(|tree| tree.add(union("aufs"))), &machine()), Vec::<String>::new());
}

#[test]
fn features_that_programs_can_use_are_there() {
    let word = |register, bits| CpuidWord { leaf: (7, 0), register, bits };
    let (avx512f, smep, pku) = (1 << 16, 1 << 7, 1 << 3);
    let seen =
        |bits| Cpu { words: vec![word(1, bits), word(2, pku)], layout: machine().cpu.layout };
    let of = |bits| with(|tree| tree.add(seen(bits)));
    let mut here = machine();
    here.cpu.words = vec![word(1, 0), word(2, 0)];
    assert_eq!(rules(&of(smep), &here), Vec::<String>::new(), "what only the kernel uses");
    assert_eq!(rules(&of(avx512f), &here), ["plan.cpu"]);
    let (tree, lost) = forget_features(of(avx512f), &here).expect("a tree");
    assert_eq!((rules(&tree, &here), lost.len()), (Vec::new(), 1));
    here.cpu.words = vec![word(1, avx512f), word(2, 0)];
    assert_eq!(rules(&of(avx512f), &here), Vec::<String>::new());
}

#[test]
fn rules_for_changed_files_have_a_bound() {
    let with_rules = |count: usize, length: usize| {
        let pattern = PathPattern(Bytes(vec![b'*'; length]));
        let on_change = vec![OnChange { change: Change::Accept, pattern }; count];
        with(|tree| tree.add(Options { on_change: on_change.clone(), ..Options::default() }))
    };
    assert_eq!(rules(&with_rules(64, 1024), &machine()), Vec::<String>::new());
    refuses("many rules", &with_rules(65, 1), "plan.options");
    refuses("a long pattern", &with_rules(1, 1025), "plan.options");
}

#[test]
fn unions_that_nothing_stands_on() {
    let union = |point: &str, branch: &str| Union {
        point: point.into(),
        fs_type: "overlay".into(),
        source: "none".into(),
        flags: "rw".into(),
        root: "/".into(),
        branches: vec![(branch.into(), "ro".into())],
        options: "rw".into(),
    };
    let mut tree = whole();
    let all = [("/data", "/b/low"), ("/b", "/c"), ("/etc", "/x"), ("/dat", "/x"), ("/data/x", "/")];
    all.iter().for_each(|(point, branch)| tree.add(union(point, branch)));
    let used = floe_plan::unions_in_use(&tree.tree());
    let mut used: Vec<String> = used.iter().map(ToString::to_string).collect();
    used.sort();
    assert_eq!(used, ["/b", "/data"]);
}

/// A chain of epoll instances; with `circle` the last one watches the first.
fn chain(length: u32, circle: bool) -> Tree {
    let mut tree = Builder::new(100);
    for at in 0..length {
        let below = if at > 0 { Some(at - 1) } else { circle.then_some(length - 1) };
        let watch = |file| EpollWatch { fd: FdNum(9), file: FileId(file), events: 1, data: 0 };
        let watches = below.map(watch).into_iter().collect();
        let file = tree.file(2, |file| Epoll { file, watches });
        tree.fd(100, at, file);
    }
    tree.tree()
}

/// As the kernel of this machine has it.
#[test]
fn epoll_instances_watch_each_other_so_deep() {
    assert_eq!(rules(&chain(5, false), &machine()), Vec::<String>::new());
    refuses("six", &chain(6, false), "plan.epoll");
    refuses("a hundred thousand", &chain(100_000, false), "plan.epoll");
    refuses("a circle", &chain(3, true), "plan.epoll");
    let open: Vec<_> = (0..6)
        .map(|_| nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::empty()))
        .collect::<Result<_, _>>()
        .expect("epoll instances");
    let add = |outer: usize, inner: usize| {
        let event = nix::sys::epoll::EpollEvent::new(nix::sys::epoll::EpollFlags::EPOLLIN, 0);
        open[outer].add(&open[inner].0, event)
    };
    assert!((1..5).all(|at| add(at, at - 1).is_ok()), "five are allowed");
    assert_eq!(add(5, 4), Err(nix::Error::ELOOP), "and no sixth");
}

/// What restore itself needs.
#[test]
fn a_machine_must_have_room() {
    let tree = whole().tree();
    let small = Machine { descriptors: 64, ..machine() };
    assert_eq!(rules(&tree, &small), ["plan.descriptors"]);
    let last = |table: &mut FdTable| table.fds.last_mut().expect("some").fd = FdNum(4000);
    let high = tree.clone().map(last).expect("a key");
    let narrow = Machine { descriptors: 4096, ..machine() };
    assert_eq!(rules(&high, &narrow), Vec::<String>::new());
    let narrow = Machine { descriptors: 4000, ..machine() };
    assert_eq!(rules(&high, &narrow), ["plan.descriptors"]);
    let ids = Machine { pid_max: 300, ..machine() };
    assert_eq!(rules(&tree, &ids), ["plan.pid"]);
    let full = Machine { taken: vec![(0, 0x7fff_ffff_0000)], ..machine() };
    assert_eq!(rules(&tree, &full), ["plan.hole"]);
}

/// What `freeze` has can be asked before there is more.
#[test]
fn a_part_is_allowed_or_refused() {
    let all = whole().records();
    let end = all.iter().position(|record| record.kind() == Kind::TreeEnd).expect("an end");
    let mut tree = Tree::default();
    all[..=end].iter().for_each(|record| tree.insert(record.clone()).expect("once"));
    assert_eq!(allow(&tree, &machine(), Extent::Frozen), Ok(()));
    assert!(allow(&tree, &machine(), Extent::Whole).is_err(), "it has not been through dumpfs");
    let tree = tree.map(|fs: &mut Fs| fs.umask = 0o1000).expect("a key");
    assert!(allow(&tree, &machine(), Extent::Frozen).is_err());
}

/// A stranger's stream makes nobody say more than a bounded number of things.
#[test]
fn refusals_are_bounded() {
    let mut tree = Builder::new(100);
    for pid in 101..3000 {
        tree.process(pid, 7, |p| p.exit_signal = 99);
    }
    let no = plan(&tree.tree(), &machine()).expect_err("a refusal");
    assert_eq!(no.0.len(), 101);
    assert!(no.0[100].problem.contains("5698 more"), "{}", no.0[100]);
}

/// What only a capability allows.
#[test]
fn a_machine_must_allow_it() {
    const SYS_RESOURCE: u64 = 1 << 24;
    let (tree, all) = (whole().tree(), machine().capabilities);
    let without = Machine { capabilities: all & !SYS_RESOURCE, ..machine() };
    let creds = |set: usize| {
        tree.clone().map(|creds: &mut Creds| creds.caps[set] |= SYS_RESOURCE).expect("a key")
    };
    for set in [0, 1, 2, 4] {
        assert_eq!(rules(&creds(set), &machine()), Vec::<String>::new());
        let rules = rules(&creds(set), &without);
        assert!(!rules.is_empty() && rules.iter().all(|rule| rule == "plan.capabilities"));
    }
    assert_eq!(rules(&creds(3), &without), Vec::<String>::new(), "of the bounding set");
    let no = plan(&creds(1), &without).expect_err("a refusal");
    assert!(no.0[0].problem.contains("CAP_SYS_RESOURCE"), "{}", no.0[0]);

    let without = Machine { capabilities: all & !(1 << 21), ..machine() };
    let strict = tree.clone().map(|s: &mut Seccomp| s.strict = true).expect("a key");
    assert_eq!(rules(&strict, &machine()), Vec::<String>::new());
    assert!(rules(&strict, &without).iter().all(|rule| rule == "plan.seccomp"));
    let bound = Machine { filtered: true, ..machine() };
    assert_eq!(rules(&tree, &bound), ["plan.seccomp"]);

    let low = tree.clone().map(|s: &mut Settings| s.oom_score_adj = -500).expect("a key");
    assert_eq!(rules(&low, &machine()), Vec::<String>::new());
    let bound = Machine { oom_score_adj: -499, ..machine() };
    assert!(rules(&low, &bound).iter().all(|rule| rule == "plan.oom"));
    assert!(plan(&low, &bound).expect_err("a refusal").0[0].problem.contains("CAP_SYS_RESOURCE"));

    let mut large = whole();
    let (id, bytes) = (ObjectId { dev: 9, ino: 9 }, vec![7; 3 << 20]);
    let len = bytes.len() as u32;
    large.add(PipeData { id, capacity: 4 << 20, len, packets: Vec::new(), bytes });
    assert_eq!(rules(&large.tree(), &machine()), Vec::<String>::new());
    let small = Machine { pipe: 1 << 20, ..machine() };
    assert_eq!(rules(&large.tree(), &small), ["plan.pipe"]);

    let narrow = Machine { limits: vec![0; 16], ..machine() };
    let limits = tree.map(|limits: &mut Limits| limits.limits = vec![(0, 1); 16]).expect("a key");
    assert!(rules(&limits, &narrow).contains(&"plan.limit".to_owned()));
}

/// Nameless files that nobody maps take no room but that of their descriptors, which is all that `freeze` knows of them.
#[test]
fn a_nameless_file_takes_one_place() {
    let mut all = whole();
    for nth in 0..1000 {
        let id = ObjectId { dev: 1, ino: nth.into() };
        let file = all.file(2, |file| NamelessFile { file, object: id });
        all.fd(100, nth + 10, file);
        let kind = ObjectKind::Deleted("/gone".into());
        let (attributes, times) = (Vec::new(), [(0, 0); 2]);
        let (mode, uid, gid) = (0o600, 0, 0);
        all.add(Object { id, kind, size: 0, mode, uid, gid, times, attributes, huge: None });
    }
    let mut files = Tree::default();
    let known = all.records().into_iter().filter(|record| record.kind() != Kind::Object);
    known.for_each(|record| files.insert(record).expect("once"));
    let room = |descriptors| Machine { descriptors, ..machine() };
    for (descriptors, refused) in [(2100, false), (2000, true)] {
        let (tree, room) = (all.tree(), room(descriptors));
        assert_eq!(floe_plan::lacking_descriptors(&files, &room).is_some(), refused);
        assert_eq!(rules(&tree, &room).contains(&"plan.descriptors".to_owned()), refused);
    }
}

/// What restore keeps for the tree goes into a gap between its numbers.
#[test]
fn gaps_between_descriptors_are_used() {
    let top = |number: u32| {
        let last =
            |table: &mut FdTable| table.fds.last_mut().expect("descriptors").fd = FdNum(number);
        whole().tree().map(last).expect("a key")
    };
    let narrow = Machine { descriptors: 4001, ..machine() };
    assert_eq!(rules(&top(4000), &narrow), Vec::<String>::new(), "the highest one that there is");
    assert_eq!(rules(&top(4001), &narrow), ["plan.descriptors"], "one above it");
    assert_eq!(floe_plan::base(&top(4000)), 64);
    assert_eq!(floe_plan::base(&top(64)), 65);
    assert_eq!(floe_plan::base(&top(70)), 71, "too narrow");
}
