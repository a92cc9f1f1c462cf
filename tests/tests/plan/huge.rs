//! How many pages of hugetlbfs a tree takes.

use floe_plan::huge_pages;
use floe_records::*;
use std::collections::BTreeMap;

const SIZE: u64 = 2 << 20;

fn vma(at: u64, count: u64, shared: bool, flags: &str, present: u64) -> Vma {
    let mut vma = floe_tests::made::mapping(at * SIZE, (at + count) * SIZE, b"/anon");
    let huge = Some(HugePages { size: SIZE, present });
    (vma.shared, vma.flags, vma.huge) = (shared, flags.into(), huge);
    vma.kind = if shared { VmaKind::Object } else { VmaKind::Anon };
    vma.file.take_if(|_| !shared);
    vma
}

#[test]
fn what_is_reserved_or_there_is_counted() {
    let (pid, mut tree) = (Pid(7), Tree::default());
    tree.insert(floe_tests::made::process(pid).any()).unwrap();
    let mut behind = vma(30, 2, true, "ht", 0);
    behind.offset = 3 * SIZE;
    let vmas = vec![
        vma(1, 4, false, "ht", 1),
        vma(8, 10, false, "htnr", 3),
        vma(20, 2, true, "ht", 1),
        behind,
        vma(40, 1, true, "ht", 0),
    ];
    tree.insert(Vmas { pid, vmas }.any()).unwrap();
    let id = ObjectId { dev: 1, ino: 2 };
    let object = Object {
        id,
        kind: ObjectKind::SharedAnon,
        size: 8 * SIZE,
        mode: 0,
        uid: 0,
        gid: 0,
        times: [(0, 0); 2],
        attributes: Vec::new(),
        huge: Some(HugePages { size: SIZE, present: 3 }),
    };
    tree.insert(object.any()).unwrap();
    // Pages 0, 1, 3 and 4 of the shared one are reserved.
    assert_eq!(huge_pages(&tree, |_| false), BTreeMap::from([(SIZE, 4 + 3 + 4)]));
    assert_eq!(huge_pages(&tree, |there| there == id), BTreeMap::from([(SIZE, 4 + 3)]));
}
