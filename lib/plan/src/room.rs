//! Whether what comes behind the metadata belongs where it says: where it does not, nobody knows what it would overwrite.

use floe_records::{Addr, CarriedFile, Object, ObjectData, Pid, Record, Tree, Vma, Vmas};

/// Whether all of these ranges, addresses and lengths in bytes, belong where memory of a process is.
pub fn has_room_for(tree: &Tree, pid: Pid, ranges: &[(u64, u32)]) -> bool {
    ranges.iter().all(|&(start, len)| {
        let (mut at, end) = (start, start + u64::from(len));
        for vma in from(tree, pid, start).take_while(|vma| vma.start.0 < end) {
            if vma.start.0 > at || !vma.is_carried() {
                return false;
            }
            at = vma.end.0;
        }
        at >= end
    })
}

/// The VMAs of a process from the one on that holds an address, ascending.
fn from(tree: &Tree, pid: Pid, start: u64) -> impl Iterator<Item = &Vma> {
    let table = Vmas::table(tree);
    let before = table.range((pid, Addr(0))..=(pid, Addr(start))).next_back();
    let behind = table.range((pid, Addr(start + 1))..=(pid, Addr(u64::MAX)));
    let some = before.into_iter().chain(behind);
    some.flat_map(move |some| &some.vmas[some.vmas.partition_point(|vma| vma.end.0 <= start)..])
}

/// The mapping of a process that holds an address.
pub fn vma_at(tree: &Tree, pid: Pid, at: Addr) -> Option<&Vma> {
    from(tree, pid, at.0).next().filter(|vma| vma.start <= at)
}

/// Whether all of this content belongs into a file of the tree whose content travels.
pub fn has_object_for(tree: &Tree, data: &ObjectData) -> bool {
    let end = data.ranges.as_slice().last().map_or(0, |(start, len)| start + u64::from(*len));
    let object = tree.get::<Object>(data.id).map(|object| object.size);
    let size = object.or_else(|| tree.get::<CarriedFile>(data.id).map(|carried| carried.size));
    let size = size.or_else(|| tree.size_in_tree(data.id));
    size.is_some_and(|size| end <= size)
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
            opened_to_write: false,
            collapsed: Vec::new(),
            huge: None,
            key: 0,
        }
    }

    fn fits(tree: &Tree, pid: u32, list: &[(u64, u32)]) -> bool {
        has_room_for(tree, Pid(pid), list)
    }

    #[test]
    fn pages_go_where_memory_is() {
        let mut tree = Tree::default();
        let vmas = vec![
            vma(0x1000, 0x3000, VmaKind::Anon, false),
            vma(0x3000, 0x5000, VmaKind::File, false),
            vma(0x5000, 0x6000, VmaKind::File, true),
            vma(0x8000, 0x9000, VmaKind::Vdso, false),
            vma(0xa000, 0xc000, VmaKind::Anon, false),
        ];
        tree.insert(Vmas { pid: Pid(7), vmas }.any()).unwrap();
        let one = |pid, start, len| fits(&tree, pid, &[(start, len)]);
        assert!(one(7, 0x1000, 0x2000) && one(7, 0x2000, 0x3000) && one(7, 0x4000, 0x1000));
        assert!(!one(1, 0x1000, 0x1000), "a stranger");
        assert!(!one(7, 0, 0x2000) && !one(7, 0x6000, 0x1000), "nothing is there");
        assert!(!one(7, 0x4000, 0x2000) && !one(7, 0x8000, 0x1000), "it is not the process's own");
        assert!(!one(7, 0xb000, 0x2000), "beyond the last");
        let page = 0x1000;
        assert!(fits(&tree, 7, &[(0x1000, page), (0x3000, page), (0xa000, 0x2000)]));
        assert!(!fits(&tree, 7, &[(0x1000, page), (0x9000, page), (0xa000, page)]), "a hole");
        assert!(!fits(&tree, 7, &[(0x1000, page), (0xa000, page), (0xc000, page)]), "the last");
    }

    /// Each range of each record costs no more than a search: a hundred million steps would be felt.
    #[test]
    fn many_ranges_over_many_mappings() {
        const COUNT: u64 = 100_000;
        let mut tree = Tree::default();
        let every = |n: u64| vma(n << 14, (n << 14) + 0x2000, VmaKind::Anon, false);
        let all: Vec<Vma> = (1..=COUNT).map(every).collect();
        for vmas in all.chunks(1024).map(<[Vma]>::to_vec) {
            tree.insert(Vmas { pid: Pid(7), vmas }.any()).unwrap();
        }
        let far = |n: u64| [(n << 14, 0x1000), ((COUNT - n) << 14, 0x2000)];
        let begin = std::time::Instant::now();
        assert!((1..COUNT / 2).all(|n| fits(&tree, 7, &far(n))));
        assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
        let list: Vec<(u64, u32)> = (1..=256).map(|n| ((n * 300) << 14, 0x1000)).collect();
        assert!(fits(&tree, 7, &list));
        for bad in 0..list.len() {
            let mut list = list.clone();
            list[bad].0 += 0x2000;
            assert!(!fits(&tree, 7, &list), "range {bad}");
        }
    }

    #[test]
    fn content_goes_into_its_object() {
        let mut tree = Tree::default();
        let id = ObjectId { dev: 1, ino: 2 };
        let fits = |tree: &Tree, list: &[(u64, u32)]| {
            let mut ranges = Ranges::default();
            list.iter().for_each(|(start, len)| ranges.push(*start, *len).expect("sane ranges"));
            has_object_for(tree, &ObjectData { id, ranges })
        };
        assert!(!fits(&tree, &[(0, 1)]));
        let kind = ObjectKind::SharedAnon;
        tree.insert(
            Object {
                id,
                kind,
                size: 5000,
                mode: 0,
                uid: 0,
                gid: 0,
                times: [(0, 0); 2],
                attributes: Vec::new(),
                huge: None,
            }
            .any(),
        )
        .unwrap();
        assert!(fits(&tree, &[(0, 5000)]) && fits(&tree, &[(0, 10), (4096, 904)]));
        assert!(!fits(&tree, &[(0, 10), (4096, 905)]) && !fits(&tree, &[(u64::MAX - 5, 2)]));
    }
}
