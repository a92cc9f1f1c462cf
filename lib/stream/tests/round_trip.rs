//! Any record goes out and comes back, and damage of any kind is reported.
use floe_records::*;
use floe_stream::{Error, Item, Reader, Source, Writer};
use floe_tests::made::begin;
use proptest::prelude::*;
use std::io;

fn sample() -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    out.record(&TreeEnd { processes: 1, threads: 2 }).unwrap();
    let (id, mut ranges) = (ObjectId { dev: 1, ino: 7 }, Ranges::default());
    out.record(&ObjectData { id, ranges: ranges.clone() }).unwrap();
    out.bulk(&[]).unwrap();
    ranges.push(0x1000, 40).unwrap();
    out.record(&ObjectData { id, ranges }).unwrap();
    out.bulk(&[5; 40]).unwrap();
    out.end().unwrap()
}

fn drain(bytes: &[u8]) -> Result<usize, Error> {
    let mut reader = Reader::new(bytes);
    let mut items = 0;
    loop {
        match reader.next()? {
            Item::End => return Ok(items),
            _ => items += 1,
        }
    }
}

#[test]
fn whole_stream_is_read() {
    assert_eq!(drain(&sample()).unwrap(), 6);
}

#[test]
fn every_cut_is_told() {
    let bytes = sample();
    for cut in 0..bytes.len() {
        assert!(matches!(drain(&bytes[..cut]), Err(Error::Damaged { .. })), "cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_is_told() {
    let bytes = sample();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(drain(&bad), Err(Error::Damaged { .. })), "bit {bit}");
    }
}

#[test]
fn a_byte_behind_end_is_told() {
    let mut bytes = sample();
    bytes.push(0);
    assert!(matches!(drain(&bytes), Err(Error::Damaged { .. })));
}

/// Gives a different number of bytes each time.
struct Pieces<'a>(&'a [u8], usize);

impl io::Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 % 70_001 + 9973;
        let len = to.len().min(self.1);
        self.0.read(&mut to[..len])
    }

    fn read_vectored(&mut self, to: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        let mut read = 0;
        for part in to {
            let n = self.read(part)?;
            read += n;
            if n < part.len() {
                break;
            }
        }
        Ok(read)
    }
}

impl Source for Pieces<'_> {
    fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.0.is_empty())
    }
}

#[test]
fn long_bulk_is_read_in_pieces_of_any_length() {
    let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let lens = [64 << 10, 0, 100_000, 1, 65_535, 90_001, 90_001];
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    for len in lens {
        out.record(&TreeEnd { processes: 1, threads: 2 }).unwrap();
        out.bulk(&content[..len]).unwrap();
        out.bulk(&content[..len / 2]).unwrap();
    }
    let bytes = out.end().unwrap();
    for parts in [1, 3, 7] {
        let mut reader = Reader::new(Pieces(&bytes, parts));
        let mut wanted = lens.iter().flat_map(|len| [*len, len / 2]);
        loop {
            match reader.next().unwrap() {
                Item::Record(_) => {}
                Item::Bulk(len) => {
                    let mut got = vec![0; len as usize];
                    got.chunks_mut((len as usize / parts).max(1)).for_each(|part| {
                        reader.read_bulk(part).unwrap();
                    });
                    assert!(wanted.next().is_some_and(|len| got == content[..len]));
                }
                Item::End => break,
            }
        }
        assert_eq!(wanted.next(), None);
    }
    for cut in [bytes.len() - 1, bytes.len() - 33, bytes.len() - 50, 80_000, 200_000] {
        assert!(matches!(drain(&bytes[..cut]), Err(Error::Damaged { .. })), "cut at {cut}");
    }
}

fn aborted(code: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    out.record(&begin()).unwrap();
    out.abort(code).unwrap();
    assert!(out.record(&begin()).is_err(), "nothing stands behind an Abort");
    drop(out);
    bytes
}

#[test]
fn an_abort_hands_its_code_on() {
    for code in [1, 3, 23, 24, 255] {
        assert!(matches!(drain(&aborted(code)), Err(Error::Aborted(it)) if it == code));
    }
    // It may be all that a tool writes.
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).abort(5).unwrap();
    assert_eq!(bytes, [0x83, 0x19, 3, 0xe6, 1, 5]);
    assert!(matches!(drain(&bytes), Err(Error::Aborted(5))));
}

#[test]
fn an_abort_is_not_made_by_accident() {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    assert!(out.abort(0).is_err(), "success is no Abort");
    out.bulk_head(10).unwrap();
    assert!(out.abort(1).is_err(), "it would be content");
    // One bit of End's kind is all that tells it from an Abort.
    let mut end = sample();
    let at = end.len() - 30;
    assert_eq!(end[at], 0xe7);
    end[at] = 0xe6;
    assert!(matches!(drain(&end), Err(Error::Damaged { .. })));
    for body in [&[0][..], &[0x18, 3], &[0x19, 0, 3], &[0x19, 1, 0], &[0x20], &[0xf6]] {
        let bytes = [&[0x83, 0x19, 3, 0xe6, 1][..], body].concat();
        assert!(matches!(drain(&bytes), Err(Error::Damaged { .. })), "{body:x?}");
    }
}

/// A file is read later, by somebody who has not seen why its writer failed.
#[test]
fn an_abort_in_a_file_is_damage() {
    struct Stored<'a>(&'a [u8]);
    impl std::io::Read for Stored<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(to)
        }
    }
    impl floe_stream::Source for Stored<'_> {
        fn has_more(&mut self) -> std::io::Result<bool> {
            Ok(!self.0.is_empty())
        }
        fn is_stored(&self) -> bool {
            true
        }
    }
    let bytes = aborted(3);
    let mut reader = Reader::new(Stored(&bytes));
    reader.next().unwrap();
    let error = reader.next().unwrap_err();
    assert!(matches!(&error, Error::Damaged { .. }) && error.to_string().contains("exit code 3"));
}

#[test]
fn an_announced_length_allocates_nothing() {
    // Text of 2^62 bytes, an array of 2^62 items: refused by their heads.
    for head in [0x7b, 0x5b, 0x9b, 0xbb] {
        let bytes = [0x83, 1, 1, head, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(drain(&bytes), Err(Error::Damaged { .. })));
    }
}

proptest! {
    #[test]
    fn records_come_back(pid in any::<u32>(), names in prop::collection::vec(any::<Vec<u8>>(), 0..20),
                         numbers in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20)) {
        let groups = Stage { tool: format!("{pid:x}") };
        let limits = Limits { pid: Pid(pid), limits: numbers };
        let signals = ThreadSignals { pid: Pid(pid), tid: Tid(1), mask: 3, altstack: (Addr(0), 2, 0),
            queued: names.iter().map(|n| Bytes(n.clone())).collect() };
        let mut out = Writer::new(Vec::new());
        out.record(&begin()).unwrap();
        out.record(&groups).unwrap();
        out.record(&limits).unwrap();
        out.record(&signals).unwrap();
        let bytes = out.end().unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let mut records = Vec::new();
        while let Item::Record(raw) = reader.next().unwrap() { records.push(raw); }
        prop_assert_eq!(records[0].decode::<Begin>().unwrap(), begin());
        prop_assert_eq!(records[1].decode::<Stage>().unwrap(), groups);
        prop_assert_eq!(records[2].decode::<Limits>().unwrap(), limits);
        prop_assert_eq!(records[3].decode::<ThreadSignals>().unwrap(), signals);

        // A filter passes everything on byte for byte.
        let mut again = Writer::new(Vec::new());
        for raw in &records { again.raw(raw).unwrap(); }
        prop_assert_eq!(again.end().unwrap(), bytes);
    }

    #[test]
    fn rubbish_never_panics(bytes in any::<Vec<u8>>()) {
        prop_assert!(drain(&bytes).is_err());
    }
}
