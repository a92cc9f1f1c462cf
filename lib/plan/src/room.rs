//! Where memory and contents of a stream may go.

use floe_records::{Addr, Object, ObjectData, Pages, Record, Tree, Vmas};

/// Whether pages belong where memory of the tree is, all of them. Where they do not, nobody knows what they would
/// overwrite.
pub fn has_room_for(tree: &Tree, pages: &Pages) -> bool {
    let Some(end) = pages.addr.0.checked_add(u64::from(pages.len)) else { return false };
    let table = Vmas::table(tree);
    let before = table.range((pages.pid, Addr(0))..=(pages.pid, pages.addr)).last();
    let behind = table.range((pages.pid, Addr(pages.addr.0 + 1))..(pages.pid, Addr(end)));
    let vmas = before
        .into_iter()
        .chain(behind)
        .flat_map(|some| &some.vmas[some.vmas.partition_point(|vma| vma.end <= pages.addr)..]);
    let mut at = pages.addr.0;
    for vma in vmas.take_while(|vma| vma.start.0 < end) {
        if vma.start.0 > at || !vma.is_carried() {
            return false;
        }
        at = vma.end.0;
    }
    at >= end
}

/// Whether content belongs into an object of the tree.
pub fn has_object_for(tree: &Tree, data: &ObjectData) -> bool {
    let end = data.offset.checked_add(u64::from(data.len));
    tree.get::<Object>(data.id).zip(end).is_some_and(|(object, end)| end <= object.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::*;

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
        tree.insert(Vmas { pid: Pid(7), vmas }.any()).unwrap();
        let fits =
            |pid, addr, len| has_room_for(&tree, &Pages { pid: Pid(pid), addr: Addr(addr), len });
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
        let fits = |tree: &Tree, offset, len| has_object_for(tree, &ObjectData { id, offset, len });
        assert!(!fits(&tree, 0, 1));
        let kind = ObjectKind::SharedAnon;
        tree.insert(Object { id, kind, size: 5000, mode: 0, uid: 0, gid: 0 }.any()).unwrap();
        assert!(fits(&tree, 0, 5000) && fits(&tree, 4096, 904));
        assert!(!fits(&tree, 4096, 905) && !fits(&tree, u64::MAX, 2));
    }
}
