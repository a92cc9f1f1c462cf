//! Whole plans, as `restore --plan` prints them. `FLOE_BLESS=1` writes them anew.

use crate::model;
use floe_plan::{Step, plan};
use floe_records::*;
use floe_tests::{made, run, tree::Builder, tree::machine};
use std::{fs, path::Path};

fn lone() -> Builder {
    let mut tree = Builder::new(100);
    let null = tree.file(2, |file| Device {
        file,
        pid: Pid(100),
        name: made::file(b"/dev/null"),
        rdev: 0x103,
    });
    (0..3).for_each(|fd| tree.fd(100, fd, null));
    tree
}

/// A shell in the foreground of a terminal: a pipeline of which the first process has ended, and a stopped job.
fn shell() -> Builder {
    let mut tree = Builder::new(100);
    let foreground = |p: &mut Process, group: u32| {
        (p.sid, p.pgid, p.tty_nr, p.tty_pgrp) = (Pid(90), Pid(group), 0x8801, 110);
    };
    tree.change(100, |p| foreground(p, 100));
    tree.process(110, 100, |p| {
        foreground(p, 110);
        p.state = State::Zombie(0x0100);
    });
    tree.process(111, 100, |p| foreground(p, 110));
    tree.process(120, 100, |p| {
        foreground(p, 120);
        p.state = State::Stopped(20);
    });
    // Its leader has ended and has been waited for.
    tree.process(131, 100, |p| foreground(p, 130));
    // One that has left for a session of its own, with a child of the old days and one of the new.
    tree.process(140, 100, |p| (p.sid, p.pgid) = (Pid(140), Pid(140)));
    tree.process(141, 140, |p| foreground(p, 100));
    tree.process(142, 140, |_| {});
    let terminal = tree.file(2, |file| External { file, what: "/dev/pts/1".into() });
    tree.add(Terminal { file: terminal, flags: [0; 4], characters: vec![0; 32].into() });
    let id = ObjectId { dev: 12, ino: 77 };
    let [reader, writer] = [0, 1].map(|flags| tree.file(flags, |file| Pipe { file, pipe: id }));
    let (packets, bytes) = (Vec::new(), b"bytes".to_vec());
    tree.add(PipeData { id, capacity: 65_536, len: 5, packets, bytes });
    for pid in [100, 111, 120, 131, 141, 142] {
        (0..3).for_each(|fd| tree.fd(pid, fd, terminal));
    }
    tree.fd(111, 0, reader);
    tree.fd(120, 1, writer);
    tree
}

/// Threads with timers, locks, epoll instances within each other, and a removed program.
fn threads() -> Builder {
    let mut tree = Builder::new(200);
    let pid = Pid(200);
    [201, 202].into_iter().for_each(|tid| tree.thread(200, tid));
    // A child of one of them, and one of its main thread.
    tree.process(210, 200, |p| p.maker = Tid(202));
    tree.process(211, 200, |_| {});
    let timer = PosixTimer {
        id: 3,
        clock: 1,
        notify: 4,
        signal: 34,
        value: Addr(5),
        tid: Some(Tid(202)),
        interval_ns: 0,
        left_ns: 1000,
        overrun: 0,
    };
    tree.add(Timers { pid, itimers: [(0, 5), (0, 0), (0, 0)], posix: vec![timer] });
    let name = made::file(b"/var/lib/data");
    let data = tree.file(2, |file| made::regular(file, pid, name));
    let event = tree.file(2, |file| Eventfd { file, count: 3, semaphore: false });
    let watch = |fd, file| EpollWatch { fd: FdNum(fd), file, events: 1, data: 9 };
    let inner = tree.file(2, |file| Epoll { file, watches: vec![watch(4, event)] });
    let outer = tree.file(2, |file| Epoll { file, watches: vec![watch(5, inner)] });
    let pair = [(8, 9), (9, 8)]
        .map(|(ino, peer)| tree.file(2, |file| made::unix(file, pid, ino, Some(peer))));
    let all = [data, event, inner, outer, pair[0], pair[1]];
    all.iter().zip(3..).for_each(|(file, fd)| tree.fd(200, fd, *file));
    tree.fd(200, 9, data);
    let lock = |kind, start| Lock { kind, exclusive: true, start, last: None };
    let locks = vec![lock(LockKind::Flock, 0), lock(LockKind::Posix, 10)];
    tree.add(Locks { pid, fd: FdNum(3), locks });
    tree.add(Owner { file: pair[0], kind: 0, id: 202, signal: 40, uids: None });
    let id = ObjectId { dev: 1, ino: 2 };
    let kind = ObjectKind::Deleted("/bin/gone".into());
    tree.add(Object {
        id,
        kind,
        size: 8192,
        mode: 0o755,
        uid: 0,
        gid: 0,
        times: [(0, 0); 2],
        attributes: Vec::new(),
        huge: None,
    });
    if let Some(mm) = tree.tree().get::<Mm>(pid) {
        let exe = FileRef { deleted: true, ..made::file(b"/bin/gone") };
        tree.add(Mm { exe, ..mm.clone() });
    }
    tree
}

/// Below an overlay mount, with a mapped memfd.
fn union() -> Builder {
    let mut tree = Builder::new(300);
    let union = Union {
        point: "/merged".into(),
        fs_type: "overlay".into(),
        source: "overlay".into(),
        flags: "rw".into(),
        root: "/".into(),
        branches: vec![("/upper".into(), "rw".into()), ("/lower".into(), "ro".into())],
        options: "rw".into(),
    };
    // Its lower layer is one as well, and so comes first.
    let branches = vec![("/other".into(), "ro".into())];
    tree.add(Union { point: "/lower".into(), branches, ..union.clone() });
    tree.add(union);
    let id = ObjectId { dev: 1, ino: 2 };
    let kind = ObjectKind::Memfd("m".into(), 0);
    tree.add(Object {
        id,
        kind,
        size: 4096,
        mode: 0o777,
        uid: 0,
        gid: 0,
        times: [(0, 0); 2],
        attributes: Vec::new(),
        huge: None,
    });
    let memfd = Vma {
        kind: VmaKind::Object,
        shared: true,
        ..made::mapping(0x5000_0000, 0x5000_1000, b"/memfd:m")
    };
    tree.vmas(300, vec![made::mapping(0x40_0000, 0x40_1000, b"/merged/bin/x"), memfd]);
    let file = tree.file(2, |file| NamelessFile { file, object: id });
    tree.fd(300, 3, file);
    tree
}

/// Processes that share with each other: all of it, a table with a grandparent whose child has its own, directories with a
/// sibling, and memory with a child that has one of its own.
fn sharing() -> Builder {
    let mut tree = Builder::new(400);
    let share = |tree: &mut Builder, pid: u32, parent, owner, shares: &[Share]| {
        tree.process(pid, parent, |p| {
            shares.iter().for_each(|share| p.shares.set(*share, Pid(owner)));
        });
        if shares.contains(&Share::Memory) {
            tree.vmas(pid, Vec::new());
        }
    };
    share(&mut tree, 410, 400, 400, &Share::ALL);
    share(&mut tree, 420, 400, 420, &[]);
    share(&mut tree, 430, 400, 430, &[]);
    share(&mut tree, 431, 430, 431, &[]);
    share(&mut tree, 432, 430, 431, &[Share::Directories]);
    share(&mut tree, 440, 400, 400, &[Share::Memory]);
    share(&mut tree, 421, 420, 400, &[Share::Table]);
    share(&mut tree, 441, 440, 441, &[]);
    tree.thread(410, 411);
    let event = tree.file(2, |file| Eventfd { file, count: 3, semaphore: false });
    tree.fd(400, 3, event);
    tree.fd(441, 4, event);
    tree
}

/// A tree and its name.
type Named = (&'static str, fn() -> Builder);

const ALL: [Named; 5] = [
    ("lone", lone),
    ("shell", shell),
    ("threads", threads),
    ("union", union),
    ("sharing", sharing),
];

fn steps_of(tree: &Tree) -> String {
    let plan = plan(tree, &machine()).unwrap_or_else(|no| panic!("{no}"));
    plan.steps.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn plans_are_as_they_were() {
    for (name, make) in ALL {
        let tree = make().tree();
        let now = steps_of(&tree);
        let path = format!("{}/golden/plan-{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let path = Path::new(&path);
        if std::env::var_os("FLOE_BLESS").is_some() {
            fs::write(path, &now).expect("write");
        }
        let was = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(now, was, "{name}: FLOE_BLESS=1 writes {} anew", path.display());
    }
}

#[test]
fn every_step_finds_what_it_needs() {
    for (name, make) in ALL {
        let tree = make().tree();
        let plan = plan(&tree, &machine()).unwrap_or_else(|no| panic!("{name}: {no}"));
        model::play(&tree, &plan.steps).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

/// Whether a process is put where its parent is: behind a setsid(2) of that one, or of one above, it has been born there.
fn is_born_there(tree: &Tree, step: &Step) -> bool {
    let Step::Group(mut pid, group) = *step else { return false };
    loop {
        let parent = tree.get::<Process>(pid).and_then(|p| tree.get::<Process>(p.ppid));
        match parent.filter(|parent| parent.pgid == group) {
            Some(parent) if parent.sid == parent.pid => return true,
            Some(parent) => pid = parent.pid,
            None => return false,
        }
    }
}

/// A plan that lacks a step, or does it twice, cannot be played: the model is no yes-man.
#[test]
fn no_step_is_too_many() {
    for (name, make) in ALL {
        let tree = make().tree();
        let steps = plan(&tree, &machine()).unwrap_or_else(|no| panic!("{name}: {no}")).steps;
        for (at, step) in steps.iter().enumerate() {
            // Nothing of the model rests on these.
            if matches!(step, Step::Outside | Step::Writers | Step::Lend(_)) {
                continue;
            }
            let without = [&steps[..at], &steps[at + 1..]].concat();
            let missed = model::play(&tree, &without).is_err();
            assert!(missed || is_born_there(&tree, step), "{name}: nobody misses: {step}");
            let twice = [&steps[..at], &steps[at..=at], &steps[at..]].concat();
            assert!(model::play(&tree, &twice).is_err(), "{name}: it may come twice: {step}");
        }
    }
}

#[test]
fn restore_prints_them() {
    for (name, make) in ALL {
        let mut tree = make();
        tree.of_this_machine();
        let output = run("restore", &["--plan"], &tree.stream().expect("a stream"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), steps_of(&make().tree()), "{name}");
    }
}
