//! Images: a stream goes in and comes out again, damage of any kind is told, a file is whole or not there.
use floe_image::{Bulk, Coding, Error, Image, check, open, pack, pack_file, unpack, verify};
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
    coded(stream, Coding::AsItIs)
}

fn coded(stream: &[u8], coding: Coding) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    pack(&mut Reader::new(stream), &mut out, coding, &mut |_| ()).unwrap();
    out.end().unwrap()
}

/// As `imgpack --compress` has it.
fn by(how: &str) -> Coding {
    how.parse().unwrap()
}

const COMPRESSED: [&str; 4] = ["zstd", "zstd:9", "lz4", "none"];

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
    assert!(pack(&mut Reader::new(&late[..]), &mut out, Coding::AsItIs, &mut |_| ()).is_err());
    let pack_as = |coding, late: &[u8]| {
        let ready = pack_file(&mut Reader::new(late), &path, coding, false, &mut |_| ());
        ready.unwrap().commit().unwrap();
        std::fs::read(&path).unwrap()
    };
    let bytes = pack_as(Coding::AsItIs, &late);
    check_image(&open(&File::open(&path).unwrap()).unwrap().unwrap(), &bytes);
    assert_eq!(bytes, packed(&stream(false)));
    assert_eq!(names(directory.path()), ["a.floe"]);
    for how in COMPRESSED {
        assert_eq!(pack_as(by(how), &large(true, 4)), coded(&large(false, 4), by(how)), "{how}");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let list = std::fs::read_dir(directory).unwrap();
    list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_stream_without_bulk_is_packed() {
    // In the order of an image.
    let stream = stream_of(true, 0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.floe");
    let codings = COMPRESSED.map(by).into_iter().chain([Coding::AsItIs]);
    for coding in codings {
        let image = coded(&stream, coding);
        assert_eq!(unpacked(&image), stream);
        let ready = pack_file(&mut Reader::new(&stream[..]), &path, coding, false, &mut |_| ());
        ready.unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), image);
    }
}

#[test]
fn a_torn_stream_leaves_no_file_and_the_old_image_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.floe");
    std::fs::write(&path, "old").unwrap();
    let stream = stream(false);
    for cut in (0..stream.len()).step_by(7) {
        for coding in [Coding::AsItIs, by("lz4")] {
            let mut reader = Reader::new(&stream[..cut]);
            let Err(error) = pack_file(&mut reader, &path, coding, false, &mut |_| ()) else {
                panic!("cut at {cut}")
            };
            let damaged = matches!(error, Error::Stream(floe_stream::Error::Damaged { .. }));
            assert!(damaged, "cut at {cut}: {error}");
        }
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

/// Images that are cut and changed everywhere.
fn small() -> Vec<Vec<u8>> {
    let compressed = ["zstd", "lz4"].map(|how| coded(&large(false, 1), by(how)));
    let small = |image: &Vec<u8>| image.len() < 1000;
    assert!(compressed.iter().all(small), "they are compressed");
    [vec![packed(&stream_of(false, 1))], compressed.to_vec()].concat()
}

#[test]
fn every_cut_is_told() {
    small().iter().for_each(|image| cut_everywhere(image));
}

fn cut_everywhere(bytes: &[u8]) {
    let file = file(bytes);
    for cut in (0..bytes.len()).rev() {
        if filler(bytes, cut) && cut % 64 != 0 {
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
    small().iter().for_each(|image| flip_everywhere(image));
}

fn flip_everywhere(bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = file(bytes);
    let clean = open(&file).unwrap().unwrap();
    // Threads decompress.
    let step = if clean.runs.iter().any(|run| run.record.is::<Compressed>()) { 5 } else { 1 };
    for bit in (0..bytes.len() * 8).step_by(step) {
        let at = bit / 8;
        let flipped = bytes[at] ^ 1 << (bit % 8);
        if filler(bytes, at) && at % 256 != 0 {
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
    let mut reader = Reader::new(&stream[..]);
    let ready = pack_file(&mut reader, &path, Coding::AsItIs, true, &mut |_| ());
    ready.unwrap().commit().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), image, "with workers and without it is the same");
}

/// Records with bulk of which half gets shorter and half does not, and some that are no content of the tree.
fn large(late: bool, runs: u64) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    out.record(&TreeEnd { processes: 1, threads: 2 }).unwrap();
    if !late {
        pipe(&mut out);
    }
    for n in 0..runs {
        let (len, odd) = (4096 + n as usize * 40_000, n % 2 == 1);
        out.record(&data(n << 20, len as u32)).unwrap();
        let noise = |at: usize| twox_hash::XxHash3_64::oneshot(&at.to_le_bytes()) as u8;
        let byte = |at: usize| if odd { noise(at) } else { n as u8 };
        out.bulk(&(0..len).map(byte).collect::<Vec<_>>()).unwrap();
    }
    if late {
        pipe(&mut out);
    }
    out.end().unwrap()
}

#[test]
fn what_is_compressed_comes_out_again() {
    let stream = large(false, 9);
    let plain = packed(&stream);
    for how in COMPRESSED {
        let image = coded(&stream, by(how));
        assert_eq!(unpacked(&image), stream, "{how}");
        assert_eq!(packed(&image), image, "{how}: it stays");
        assert_eq!(coded(&plain, by(how)), image, "{how}: of an image");
        assert_eq!(coded(&image, by("none")), plain, "{how}");
        assert_eq!(how == "none", image.len() == plain.len(), "{how}");
        for other in COMPRESSED {
            assert_eq!(coded(&image, by(other)), coded(&stream, by(other)), "{how} to {other}");
        }
        verify(&file(&image)).unwrap();
        let frames = open(&file(&image)).unwrap().unwrap().runs;
        let frames = frames.iter().filter(|run| run.record.is::<Compressed>()).count();
        assert_eq!(frames, if how == "none" { 0 } else { 5 }, "{how}: noise stays as it is");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let ready = pack_file(&mut Reader::new(&stream[..]), &path, by(how), true, &mut |_| ());
        ready.unwrap().commit().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), image, "{how}: the same in a file");
    }
}

#[test]
fn records_of_no_known_shape_keep_their_bulk() {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    for kind in [777, 155, 156] {
        out.raw(&floe_stream::RawRecord::from_parts(kind, 9, &[0x82, 1, 2])).unwrap();
        let long = vec![kind as u8; 3 << 20];
        for bulk in [&long[..10_000], b"", &long, &long[..10_000]] {
            out.bulk(bulk).unwrap();
        }
    }
    out.raw(&floe_stream::RawRecord::from_parts(157, 9, &[0xf6])).unwrap();
    let stream = out.end().unwrap();
    for how in COMPRESSED {
        assert_eq!(unpacked(&coded(&stream, by(how))), stream, "{how}");
    }
}

/// Checksums of a stream are anybody's: a frame must not be believed because they match.
#[test]
fn a_frame_of_something_else_is_damage() {
    let image = coded(&large(false, 1), by("zstd"));
    let mut reader = Reader::new(&image[..]);
    let mut frame = Vec::new();
    let about: Compressed = loop {
        match reader.next().unwrap() {
            Item::Record(record) if record.is::<Compressed>() => break record.decode().unwrap(),
            _ => {}
        }
    };
    if let Item::Bulk(len) = reader.next().unwrap() {
        frame.resize(len as usize, 0);
        reader.read_bulk(&mut frame).unwrap();
    }
    let made = |about: &Compressed, frame: &[u8]| {
        let mut out = Writer::new(Vec::new());
        out.record(&begin()).unwrap();
        out.record(about).unwrap();
        out.bulk(frame).unwrap();
        out.end().unwrap()
    };
    check(&mut Reader::new(&made(&about, &frame)[..])).unwrap();
    let wrong = [
        Compressed { len: about.len - 1, ..about.clone() },
        Compressed { len: about.len + 1, ..about.clone() },
        Compressed { len: 1 << 20, ..about.clone() },
        Compressed { len: frame.len() as u32, ..about.clone() },
        Compressed { len: u32::MAX, ..about.clone() },
        Compressed { len: 0, ..about.clone() },
        Compressed { digest: about.digest + 1, ..about.clone() },
        Compressed { codec: Codec::Lz4, ..about.clone() },
        Compressed { record: Bytes::default(), ..about.clone() },
    ];
    let mut streams: Vec<Vec<u8>> = wrong.iter().map(|wrong| made(wrong, &frame)).collect();
    streams.push(made(&about, &frame[..frame.len() - 1]));
    streams.push(made(&about, &[&frame[..], &[0]].concat()));
    streams.push(made(&about, b""));
    for (number, stream) in streams.iter().enumerate() {
        let error = check(&mut Reader::new(&stream[..])).unwrap_err();
        let damaged = matches!(error, Error::Stream(floe_stream::Error::Damaged { .. }));
        assert!(damaged, "{number}: {error}");
        let mut out = Writer::new(Vec::new());
        unpack(&mut Reader::new(&stream[..]), &mut out, &mut |_| ()).unwrap_err();
    }
}
