//! Images: a stream goes in and comes out again, damage of any kind is told, a file is whole or not there.
use floe_image::{Bulk, Error, Image, open, pack, pack_file, unpack, verify};
use floe_records::*;
use floe_stream::{Item, Reader, Writer};
use floe_tests::made::begin;
use std::{fs::File, io::Write, path::Path};

/// A stream; `late` puts metadata behind the bulk.
fn stream(late: bool) -> Vec<u8> {
    stream_of(late, 3)
}

fn pipe(out: &mut Writer<Vec<u8>>) {
    let pipe = ObjectId { dev: 1, ino: 3 };
    out.record(&PipeData {
        id: pipe,
        capacity: 4096,
        len: 5,
        packets: Vec::new(),
        bytes: Vec::new(),
    })
    .unwrap();
    out.bulk(b"hello").unwrap();
}

fn data(start: u64, len: u32) -> ObjectData {
    let mut ranges = Ranges::default();
    ranges.push(start, len).unwrap();
    ObjectData { id: ObjectId { dev: 1, ino: 4 }, ranges }
}

fn stream_of(late: bool, runs: u64) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    out.record(&TreeEnd { processes: 1, threads: 2 }).unwrap();
    if !late {
        pipe(&mut out);
    }
    out.record(&floe_records::Stage { tool: "dumpfs".into() }).unwrap();
    for n in 0..runs {
        out.record(&data(n << 12, 100)).unwrap();
        out.bulk(&[n as u8; 100]).unwrap();
    }
    if late {
        pipe(&mut out);
    }
    out.end().unwrap()
}

fn packed(stream: &[u8]) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    pack(&mut Reader::new(stream), &mut out, &mut |_| ()).unwrap();
    out.end().unwrap()
}

fn unpacked(image: &[u8]) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    unpack(&mut Reader::new(image), &mut out, &mut |_| ()).unwrap();
    out.end().unwrap()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn check_image(image: &Image, bytes: &[u8]) {
    let kinds: Vec<u16> = image.metadata.iter().map(|meta| meta.record.kind).collect();
    assert_eq!(kinds, [1, 30, 31, 51]);
    assert_eq!(image.metadata[3].bulk, [b"hello"]);
    assert_eq!(image.runs.len(), 3);
    for (n, run) in image.runs.iter().enumerate() {
        let [bulk] = run.bulk[..] else { panic!("{run:?}") };
        let content = &bytes[bulk.offset as usize..][..bulk.len as usize];
        assert_eq!(content, [n as u8; 100]);
        bulk.check(content).unwrap();
        assert!(bulk.check(&[9; 100]).is_err());
        let start = (n as u64) << 12;
        assert_eq!(run.record.decode::<ObjectData>().unwrap(), data(start, 100));
    }
}

#[test]
fn an_image_is_a_stream_with_an_index() {
    let bytes = packed(&stream(false));
    let image = open(&file(&bytes)).unwrap().unwrap();
    check_image(&image, &bytes);
    assert_eq!(verify(&file(&bytes)).unwrap().bulk, 305);
    let opened = file(&bytes);
    for bulk in open(&opened).unwrap().unwrap().runs.iter().flat_map(|run| &run.bulk) {
        let mut content = vec![0; bulk.len as usize];
        bulk.read(&opened, &mut content).unwrap();
        assert_eq!(content, bytes[bulk.offset as usize..][..bulk.len as usize]);
    }
    // Packing is stable, and what comes out packs to the same image.
    assert_eq!(packed(&unpacked(&bytes)), bytes);
    assert_eq!(packed(&bytes), bytes);
}

#[test]
fn a_plain_stream_is_no_image_but_whole() {
    let bytes = stream(false);
    assert!(open(&file(&bytes)).unwrap().is_none());
    verify(&file(&bytes)).unwrap();
}

#[test]
fn unknown_records_and_records_without_bulk_pass() {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    for kind in [777, 155] {
        out.raw(&floe_stream::RawRecord::from_parts(kind, 9, &[0x82, 1, 2])).unwrap();
    }
    out.bulk(b"one").unwrap();
    out.bulk(b"two").unwrap();
    out.bulk(b"").unwrap();
    out.raw(&floe_stream::RawRecord::from_parts(156, 9, &[0xf6])).unwrap();
    let stream = out.end().unwrap();
    let image = packed(&stream);
    let runs = open(&file(&image)).unwrap().unwrap().runs;
    assert_eq!(runs.iter().map(|run| run.bulk.len()).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(unpacked(&image), stream);
    // No bulk string stands behind the last record, so it is compared at once.
    let last = image.windows(4).position(|bytes| bytes == [0x18, 0x9c, 9, 0xf6]).unwrap();
    let mut changed = image.clone();
    changed[last + 3] = 0xf5;
    assert!(open(&file(&changed)).is_err());
}

#[test]
fn metadata_behind_bulk_is_put_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.floe");
    let late = stream(true);
    let mut out = Writer::new(Vec::new());
    assert!(pack(&mut Reader::new(&late[..]), &mut out, &mut |_| ()).is_err());
    pack_file(&mut Reader::new(&late[..]), &path, false, &mut |_| ()).unwrap().commit().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    check_image(&open(&File::open(&path).unwrap()).unwrap().unwrap(), &bytes);
    assert_eq!(bytes, packed(&stream(false)));
    assert_eq!(names(directory.path()), ["a.floe"]);
}

fn names(directory: &Path) -> Vec<String> {
    let list = std::fs::read_dir(directory).unwrap();
    list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_torn_stream_leaves_no_file_and_the_old_image_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.floe");
    std::fs::write(&path, "old").unwrap();
    let stream = stream(false);
    for cut in (0..stream.len()).step_by(7) {
        let Err(error) = pack_file(&mut Reader::new(&stream[..cut]), &path, false, &mut |_| ())
        else {
            panic!("cut at {cut}")
        };
        assert!(matches!(error, Error::Stream(floe_stream::Error::Damaged { .. })), "cut at {cut}");
    }
    assert_eq!(names(directory.path()), ["a.floe"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

/// The middle of a filler is like any other byte of it.
fn filler(bytes: &[u8], at: usize) -> bool {
    at > 8 && bytes[at - 8..bytes.len().min(at + 9)].iter().all(|byte| *byte == 0)
}

fn drain(bytes: &[u8]) -> Result<(), floe_stream::Error> {
    let mut reader = Reader::new(bytes);
    while !matches!(reader.next()?, Item::End) {}
    Ok(())
}

#[test]
fn every_cut_is_told() {
    let bytes = packed(&stream_of(false, 1));
    let file = file(&bytes);
    for cut in (0..bytes.len()).rev() {
        if filler(&bytes, cut) && cut % 64 != 0 {
            continue;
        }
        assert!(drain(&bytes[..cut]).is_err(), "cut at {cut}");
        file.set_len(cut as u64).unwrap();
        if cut % 16 == 0 {
            assert!(verify(&file).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn every_flipped_bit_is_told() {
    use std::os::unix::fs::FileExt;
    let bytes = packed(&stream_of(false, 1));
    let file = file(&bytes);
    let clean = open(&file).unwrap().unwrap();
    for bit in 0..bytes.len() * 8 {
        let at = bit / 8;
        let flipped = bytes[at] ^ 1 << (bit % 8);
        if filler(&bytes, at) && at % 256 != 0 {
            continue;
        }
        file.write_all_at(&[flipped], at as u64).unwrap();
        assert!(verify(&file).is_err(), "bit {bit}");
        // By its index an image is damaged, or sends us to read it as a stream, or says what it said before: then
        // the damage is told when its bulk is read.
        if let Ok(Some(image)) = open(&file) {
            assert_eq!(image.metadata, clean.metadata, "bit {bit}");
            assert_eq!(image.runs, clean.runs, "bit {bit}");
            let bulk = image.runs.iter().flat_map(|run| &run.bulk);
            let read = |bulk: &Bulk| bulk.read(&file, &mut vec![0; bulk.len as usize]);
            assert!(bulk.map(read).any(|read| read.is_err()), "bit {bit}");
        }
        file.write_all_at(&[bytes[at]], at as u64).unwrap();
    }
}

#[test]
fn long_bulk_lies_at_page_boundaries() {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    out.record(&TreeEnd { processes: 1, threads: 2 }).unwrap();
    for n in 0..3 {
        out.record(&data(n << 20, 1 << 20)).unwrap();
        out.bulk(&vec![n as u8 + 1; 1 << 20]).unwrap();
    }
    let stream = out.end().unwrap();
    let image = packed(&stream);
    let opened = open(&file(&image)).unwrap().unwrap();
    assert_eq!(opened.runs.len(), 3);
    assert!(opened.runs.iter().all(|run| run.bulk[0].offset % 4096 == 0));
    assert_eq!(unpacked(&image), stream);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    pack_file(&mut Reader::new(&stream[..]), &path, true, &mut |_| ()).unwrap().commit().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image, "with workers and without it is the same");
}
