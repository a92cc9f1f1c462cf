//! Chains of images: each page comes from the newest image that has it, and what is no chain is told.
use floe_image::{Chain, Coding, pack};
use floe_records::*;
use floe_stream::{Item, Reader, Writer};
use floe_tests::made::begin;
use std::{collections::BTreeMap, fs::File, io::Write};

const PAGE: u64 = PAGE_SIZE;
const PID: Pid = Pid(7);

fn id(number: u8) -> Bytes {
    format!("{number:032x}").as_str().into()
}

/// An image with these pages (first, number, their byte), and these that are in the one before.
fn image(
    own: u8,
    parent: Option<u8>,
    pages: &[(u64, u64, u8)],
    unchanged: &[(u64, u64)],
    how: &str,
) -> File {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    out.record(&Tracked { id: id(own) }).unwrap();
    if let Some(parent) = parent {
        out.record(&Parent { id: id(parent) }).unwrap();
        let ranges = unchanged.iter().map(|(at, pages)| (Addr(at * PAGE), pages * PAGE)).collect();
        out.record(&Unchanged { pid: PID, ranges }).unwrap();
    }
    out.record(&TreeEnd { processes: 1, threads: 1 }).unwrap();
    for &(at, count, byte) in pages {
        let mut ranges = Ranges::default();
        ranges.push(at * PAGE, (count * PAGE) as u32).unwrap();
        out.record(&Pages { pid: PID, ranges }).unwrap();
        out.bulk(&vec![byte; (count * PAGE) as usize]).unwrap();
    }
    let stream = out.end().unwrap();
    let coding: Coding = how.parse().unwrap();
    let mut packed = Writer::new(Vec::new());
    pack(&mut Reader::new(&stream[..]), &mut packed, coding, &mut |_| ()).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&packed.end().unwrap()).unwrap();
    file
}

fn merged(files: Vec<File>) -> Vec<u8> {
    let chain = Chain::of(files).unwrap().unwrap();
    let mut out = Writer::new(Vec::new());
    chain.write(&mut out, &mut |_| ()).unwrap();
    out.end().unwrap()
}

/// The pages of a stream, by the number of each, and the kinds of its metadata.
fn pages(stream: &[u8]) -> (BTreeMap<u64, u8>, Vec<u16>) {
    let (mut pages, mut kinds) = (BTreeMap::new(), Vec::new());
    let (mut reader, mut ranges) = (Reader::new(stream), None);
    loop {
        match reader.next().unwrap() {
            Item::Record(record) if is_bulk(record.kind) => {
                let (record, frame) = match floe_image::Frame::of(&record).unwrap() {
                    Some((record, frame)) => (record, Some(frame)),
                    None => (record, None),
                };
                ranges = Some((record.decode::<Pages>().unwrap().ranges, frame));
            }
            Item::Record(record) => kinds.push(record.kind),
            Item::Bulk(len) => {
                let mut bytes = vec![0; len as usize];
                reader.read_bulk(&mut bytes).unwrap();
                let (ranges, frame) = ranges.take().unwrap();
                if let Some(frame) = frame {
                    let whole = |content: &[u8]| Ok::<_, floe_image::Error>(content.to_vec());
                    bytes = frame.open(&bytes, whole).unwrap();
                }
                let mut content = bytes.chunks(PAGE as usize);
                for &(start, len) in ranges.as_slice() {
                    for at in (start..start + u64::from(len)).step_by(PAGE as usize) {
                        let page = content.next().unwrap();
                        assert!(page.iter().all(|byte| *byte == page[0]));
                        assert_eq!(pages.insert(at / PAGE, page[0]), None, "page {at:#x} twice");
                    }
                }
            }
            Item::End => return (pages, kinds),
        }
    }
}

fn chain(how: [&str; 3]) -> Vec<File> {
    vec![
        image(1, None, &[(10, 250, 1), (300, 3, 2), (400, 1, 3)], &[], how[0]),
        image(2, Some(1), &[(12, 1, 4), (500, 1, 5)], &[(10, 2), (13, 247), (300, 3)], how[1]),
        image(3, Some(2), &[(301, 1, 6)], &[(11, 100), (300, 1), (400, 1), (500, 2)], how[2]),
    ]
}

#[test]
fn each_page_is_the_newest() {
    let want: BTreeMap<u64, u8> = (11..111)
        .map(|page| (page, if page == 12 { 4 } else { 1 }))
        .chain([(300, 2), (301, 6), (500, 5)])
        .collect();
    for how in [["none"; 3], ["zstd"; 3], ["lz4", "none", "zstd"]] {
        let (found, kinds) = pages(&merged(chain(how)));
        // Page 400 was gone in between, and 501 has been zero all along.
        assert_eq!(found, want, "{how:?}");
        assert_eq!(kinds, [1, 30, 251]);
    }
    // In two steps it is the same.
    let mut files = chain(["none"; 3]);
    let last = files.pop().unwrap();
    let mut first = tempfile::tempfile().unwrap();
    let mut packed = Writer::new(Vec::new());
    let stream = merged(files);
    pack(&mut Reader::new(&stream[..]), &mut packed, Coding::AsItIs, &mut |_| ()).unwrap();
    first.write_all(&packed.end().unwrap()).unwrap();
    assert_eq!(pages(&merged(vec![first, last])).0, want);
}

#[test]
fn what_is_no_chain_is_told() {
    let one = |number| image(number, None, &[(10, 1, 1)], &[], "none");
    let part = |number, parent| image(number, Some(parent), &[(11, 1, 1)], &[(10, 1)], "none");
    let broken: [(Vec<File>, usize); 5] = [
        (vec![part(2, 1)], 0),
        (vec![one(1), one(2)], 1),
        (vec![one(1), part(3, 2)], 1),
        (vec![one(1), part(2, 1), part(3, 1)], 2),
        (vec![one(1), part(2, 1), part(2, 1)], 2),
    ];
    for (files, at) in broken {
        let Err(told) = Chain::of(files).unwrap() else { panic!("it is taken for a chain") };
        assert_eq!(told.at, at, "{told:?}");
    }
    let mut stream = tempfile::tempfile().unwrap();
    stream.write_all(&merged(vec![one(1)])).unwrap();
    let Err(told) = Chain::of(vec![stream, part(2, 1)]).unwrap() else { panic!("no index") };
    assert_eq!(told.at, 0);
}
