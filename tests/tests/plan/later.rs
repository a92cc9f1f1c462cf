//! Which pages may come when their process runs.

use floe_plan::{Inheritance, later, left};
use floe_records::*;
use floe_tests::made;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: u32 = 4096;
const PID: Pid = Pid(7);

fn vma(start: u64, kind: VmaKind, flags: &str) -> Vma {
    let mut vma = made::mapping(start, start + 64 * u64::from(PAGE), b"/file");
    (vma.kind, vma.flags) = (kind, flags.into());
    vma.file.take_if(|_| kind != VmaKind::File);
    vma
}

fn pages(list: &[(u64, u32)]) -> Pages {
    let mut ranges = Ranges::default();
    list.iter().for_each(|(start, pages)| ranges.push(*start, pages * PAGE).expect("sane ranges"));
    Pages { pid: PID, ranges }
}

fn tree(stack: u64) -> Tree {
    let mut tree = Tree::default();
    tree.insert(made::process(PID).any()).unwrap();
    let vmas = vec![
        vma(0x10_0000, VmaKind::Anon, "rdwr"),
        vma(0x20_0000, VmaKind::File, "rdwr"),
        vma(0x30_0000, VmaKind::Anon, "rdwrlo"),
        vma(0x40_0000, VmaKind::Anon, "rdwr"),
    ];
    tree.insert(Vmas { pid: PID, vmas }.any()).unwrap();
    let mut regs = vec![0; 216];
    regs[152..160].copy_from_slice(&stack.to_ne_bytes());
    let thread = Thread { regs: regs.into(), ..made::thread(PID, Tid(PID.0)) };
    tree.insert(thread.any()).unwrap();
    tree
}

#[test]
fn large_anonymous_memory_comes_later() {
    let all = [
        pages(&[(0x10_0000, 16)]),
        pages(&[(0x20_0000, 16)]),
        pages(&[(0x30_0000, 16)]),
        pages(&[(0x40_0000, 15)]),
        pages(&[(0x11_0000, 4), (0x21_0000, 4)]),
        pages(&[(0x12_0000, 4)]),
    ];
    let all: Vec<&Pages> = all.iter().collect();
    let none = Inheritance::default();
    let found = later(&tree(0), &none, &all, |_| true);
    assert_eq!(found, [true, false, false, false, false, true]);
    // A stack stands there.
    let found = later(&tree(0x12_0008), &none, &all, |_| true);
    assert_eq!(found, [true, false, false, false, false, false]);
    assert_eq!(later(&tree(0), &none, &all, |_| false), [false; 6]);
}

#[test]
fn what_must_be_there_is_not_left() {
    let page = u64::from(PAGE);
    let runs = vec![
        0x10_0000..0x10_0000 + 60 * page,
        0x20_0000..0x20_0000 + 32 * page,
        0x30_0000..0x30_0000 + 32 * page,
        0x40_0000..0x40_0000 + 15 * page,
    ];
    let runs = BTreeMap::from([(PID, runs)]);
    // A stack and a lock: 64 KiB around each.
    let locks = BTreeSet::from([(PID, 0x13_0010), (PID, 0x20_0000)]);
    let found = left(&tree(0x11_fff8), &runs, locks);
    let all = vec![(0x10_0000, 0x11_0000), (0x12_0000, 0x13_0000)];
    assert_eq!(found, BTreeMap::from([(PID, all)]));
    let found = left(&tree(0), &runs, BTreeSet::new());
    assert_eq!(found, BTreeMap::from([(PID, vec![(0x10_0000, 0x10_0000 + 60 * page)])]));
}
