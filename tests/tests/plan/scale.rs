//! What a plan costs grows as what was sent does: no recursion, nothing quadratic.

use floe_plan::plan;
use floe_records::*;
use floe_tests::tree::{Builder, machine};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What this thread has taken of a processor: other tests run at the same time.
fn taken() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

/// Times a plan, the best of some.
fn time(tree: &Tree) -> Duration {
    let machine = machine();
    let once = || {
        // It has not found its relations yet, as a tree that was just read has not.
        let tree = tree.clone();
        let begin = taken();
        let plan = plan(&tree, &machine).unwrap_or_else(|no| panic!("{no}"));
        let took = taken() - begin;
        assert!(!plan.steps.is_empty());
        took
    };
    (0..4).map(|_| once()).min().expect("some")
}

/// Four times as much takes some four times as long; sixteen times would be quadratic.
fn grows_with_input(what: &str, most: u32, make: impl Fn(u32) -> Tree) {
    let (few, many) = (time(&make(most / 4)), time(&make(most)));
    println!("{what}: {most} in {many:?}, a quarter in {few:?}");
    let bound = few * 9 + Duration::from_millis(5);
    assert!(many < bound, "{what}: {most} took {many:?}, a quarter of them {few:?}");
}

#[test]
fn siblings() {
    grows_with_input("siblings", 20_000, |n| {
        let mut tree = Builder::new(1000);
        (1001..1000 + n).for_each(|pid| tree.process(pid, 1000, |_| {}));
        tree.tree()
    });
}

#[test]
fn a_chain() {
    grows_with_input("generations", 20_000, |n| {
        let mut tree = Builder::new(1000);
        (1001..1000 + n).for_each(|pid| tree.process(pid, pid - 1, |_| {}));
        tree.tree()
    });
}

#[test]
fn sessions() {
    grows_with_input("sessions", 4_000, |n| {
        let mut tree = Builder::new(1000);
        for pid in 1001..1000 + n {
            tree.process(pid, pid - 1, |p| (p.sid, p.pgid) = (p.pid, p.pid));
        }
        tree.tree()
    });
}

#[test]
fn what_is_inherited() {
    grows_with_input("inheriting generations", 8_000, |n| {
        let mut tree = Builder::new(1000);
        (1001..1000 + n).for_each(|pid| tree.process(pid, pid - 1, |_| {}));
        for pid in 1000..1000 + n {
            let page = |part| {
                let ranges = vec![(Addr(0x60_0000), 4096)];
                Inherited { pid: Pid(pid), part, ranges }
            };
            tree.add(page(InheritedPart::Kept));
            if pid > 1000 {
                tree.add(page(InheritedPart::Taken));
                tree.add(page(InheritedPart::Supplied));
            }
        }
        tree.tree()
    });
    grows_with_input("inherited ranges", 40_000, |n| {
        let mut tree = Builder::new(1000);
        tree.process(1001, 1000, |_| {});
        let vma = |at: u64| Vma {
            kind: VmaKind::Anon,
            file: None,
            ..floe_tests::made::mapping(at << 14, (at << 14) + 8192, b"")
        };
        let all: Vec<Vma> = (1..u64::from(n)).map(vma).collect();
        for pid in [1000, 1001] {
            tree.vmas(pid, all.iter().take(1000).cloned().collect());
            let rest = all.iter().skip(1000).cloned().collect::<Vec<_>>();
            rest.chunks(1024).for_each(|vmas| {
                tree.add(Vmas { pid: Pid(pid), vmas: vmas.to_vec() });
            });
        }
        let ranges: Vec<(Addr, u64)> = all.iter().map(|vma| (vma.start, 4096)).collect();
        for part in [InheritedPart::Supplied, InheritedPart::Taken, InheritedPart::Kept] {
            tree.add(Inherited { pid: Pid(1001), part, ranges: ranges.clone() });
        }
        tree.add(Inherited { pid: Pid(1000), part: InheritedPart::Kept, ranges });
        tree.tree()
    });
}

#[test]
fn descriptors() {
    grows_with_input("descriptors", 100_000, |n| {
        let mut tree = Builder::new(1000);
        for fd in 0..n {
            let file = tree.file(2, |file| Eventfd { file, count: 0, semaphore: false });
            tree.fd(1000, fd, file);
            tree.add(Owner { file, kind: 1, id: 1000, signal: 0, uids: None });
        }
        tree.tree()
    });
}

#[test]
fn unions() {
    grows_with_input("unions", 2_000, |n| {
        let mut tree = Builder::new(1000);
        for at in 0..n {
            tree.add(Union {
                point: format!("/m/{at}").as_str().into(),
                fs_type: "overlay".into(),
                source: "overlay".into(),
                flags: "rw".into(),
                root: "/".into(),
                branches: vec![(format!("/m/{}/upper", at / 2).as_str().into(), "rw".into())],
                options: "rw".into(),
            });
        }
        tree.tree()
    });
}

#[test]
fn mappings_and_epoll() {
    grows_with_input("mappings", 100_000, |n| {
        let mut tree = Builder::new(1000);
        let vma = |at: u64| Vma {
            kind: VmaKind::Anon,
            file: None,
            ..floe_tests::made::mapping(at << 13, (at << 13) + 4096, b"")
        };
        let all: Vec<Vma> = (1..u64::from(n)).map(vma).collect();
        // Long lists come as several records.
        all.chunks(1024).for_each(|vmas| tree.add(Vmas { pid: Pid(1000), vmas: vmas.to_vec() }));
        tree.vmas(1000, vec![vma(u64::from(n))]);
        tree.tree()
    });
    grows_with_input("epoll watches", 60_000, |n| {
        let mut tree = Builder::new(1000);
        let event = tree.file(2, |file| Eventfd { file, count: 0, semaphore: false });
        tree.fd(1000, 0, event);
        let watch = |fd| EpollWatch { fd: FdNum(fd), file: event, events: 1, data: 0 };
        let watches = (0..n).map(watch).collect();
        let epoll = tree.file(2, |file| Epoll { file, watches });
        tree.fd(1000, 1, epoll);
        tree.tree()
    });
}
