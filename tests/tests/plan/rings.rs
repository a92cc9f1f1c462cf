//! What is registered with io_uring instances.

use crate::refused::{refuses, rules, whole};
use floe_records::*;
use floe_tests::tree::machine;

/// The tree of all refusals, with an instance that has something more.
fn with(change: impl Fn(&mut IoUring)) -> Tree {
    whole().tree().map(change).expect("the same keys")
}

#[test]
fn files_are_sockets_of_the_tree() {
    refuses(
        "no socket",
        &with(|r| (r.places, r.files) = (1, vec![(0, FileId(1))])),
        "plan.io_uring",
    );
    let none = with(|r| (r.places, r.files) = (1, vec![(0, FileId(99))]));
    refuses("no file", &none, "plan.reference");
    refuses("no place", &with(|r| r.files = vec![(0, FileId(1))]), "plan.io_uring");
    assert_eq!(rules(&with(|r| r.places = 9), &machine()), Vec::<String>::new());
}

#[test]
fn buffers_are_memory_that_can_be_written_to() {
    let tree = whole().tree();
    let ring = tree.all::<IoUring>().first().expect("an instance");
    let (pid, _) = tree.holder(ring.file).expect("a process");
    let vmas: Vec<Vma> = tree.vmas(pid).cloned().collect();
    for vma in &vmas {
        let len = (vma.end.0 - vma.start.0) as u32;
        let of = |at: u64, len: u32| with(|r| r.buffers = vec![(Addr(0), 0), (Addr(at), len)]);
        if vma.prot & 2 == 0 {
            refuses("no writing", &of(vma.start.0, 1), "plan.io_uring");
            continue;
        }
        assert_eq!(rules(&of(vma.start.0, len), &machine()), Vec::<String>::new());
        refuses("ahead", &of(vma.start.0 - 1, 2), "plan.io_uring");
        refuses("behind", &of(vma.start.0, len + 1), "plan.io_uring");
    }
    assert!(vmas.iter().any(|vma| vma.prot & 2 != 0), "one that can be written to");
}
