//! Hostile records take no more memory than a small multiple of their length, and never panic.

use floe_records::{Begin, Kind};
use floe_stream::{Error, Item, RawRecord, Reader, Writer};
use floe_tests::made::begin;
use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory for a byte of input, reader and decoded record together: FORMAT.md allows a decoded record 16, and a
/// reader holds the record itself.
const GROWTH: usize = 24;
/// Buffers of a reader, and what serde sets aside before it has seen an item.
const FIXED: usize = 3 << 20;

/// Reads and decodes everything; gives the peak of memory above what was in use before.
fn peak(bytes: &[u8]) -> (usize, Result<usize, Error>) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let read = read(bytes);
    (MEMORY.peak_usage().saturating_sub(before), read)
}

fn read(bytes: &[u8]) -> Result<usize, Error> {
    let mut reader = Reader::new(bytes);
    let mut decoded = 0;
    loop {
        match reader.next()? {
            // The files of older releases have records of other versions.
            Item::Record(raw) if is_of_another_version(&raw) => {}
            Item::Record(raw) => decoded += usize::from(raw.any()?.is_some()),
            Item::Bulk(_) => {}
            Item::End => return Ok(decoded),
        }
    }
}

fn is_of_another_version(raw: &RawRecord) -> bool {
    Kind::ALL.iter().any(|kind| *kind as u16 == raw.kind && kind.version() != raw.version)
}

fn stream(records: &[RawRecord]) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&begin()).unwrap();
    records.iter().for_each(|record| out.raw(record).unwrap());
    out.end().unwrap()
}

/// One item repeated to a list of this many bytes.
fn list(item: &[u8], bytes: usize) -> Vec<u8> {
    let count = bytes / item.len();
    [&[0x9a][..], &(count as u32).to_be_bytes(), &item.repeat(count)].concat()
}

/// The start of a record whose last field is a list.
fn with_list(kind: u16, map: u8, fields: &[(&str, &[u8])], name: &str, list: &[u8]) -> RawRecord {
    let text = |text: &str| [&[0x60 | text.len() as u8][..], text.as_bytes()].concat();
    let mut body = vec![0xa0 | map];
    for (field, value) in fields {
        body.extend(text(field));
        body.extend(*value);
    }
    body.extend(text(name));
    body.extend(list);
    RawRecord::from_parts(kind, 1, &body)
}

/// Lists of the smallest items there are, in fields that take lists.
fn hostile(bytes: usize) -> Vec<RawRecord> {
    let mut records = Vec::new();
    for item in
        [&[0x40][..], &[0x41, 0], &[0x42, 1, 2], &[0x80], &[0x81, 0], &[0x82, 0, 0], &[0x00]]
    {
        let list = list(item, bytes);
        let altstack: &[u8] = &[0x83, 0, 2, 0];
        let signals = [("pid", &[1][..]), ("tid", &[1]), ("mask", &[0]), ("altstack", altstack)];
        records.push(with_list(5, 5, &signals, "queued", &list));
        records.push(with_list(8, 2, &[("pid", &[1])], "limits", &list));
        records.push(with_list(6, 3, &[("pid", &[1]), ("itimers", &[0x80])], "posix", &list));
        records.push(with_list(52, 2, &[("ino", &[1])], "messages", &list));
        records.push(with_list(12, 2, &[("pid", &[1])], "vmas", &list));
        records.push(with_list(50, 2, &[("pid", &[1])], "fds", &list));
        records.extend(
            Kind::ALL.iter().map(|kind| RawRecord::from_parts(*kind as u16, kind.version(), &list)),
        );
    }
    records.retain(|record| !record.is::<Begin>());
    records
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        (0u8..24).prop_map(|n| vec![n]),
        any::<u64>().prop_map(|n| [&[0x1b][..], &n.to_be_bytes()].concat()),
        (0u8..=255).prop_map(|n| vec![0x38, n]),
    ];
    let string = prop::collection::vec(any::<u8>(), 0..24)
        .prop_map(|bytes| [&[0x40 | bytes.len() as u8][..], &bytes].concat());
    let text =
        "[a-z]{0,12}".prop_map(|text| [&[0x60 | text.len() as u8][..], text.as_bytes()].concat());
    let other = prop_oneof![
        Just(vec![0xf4]),
        Just(vec![0xf6]),
        Just(vec![0xf9, 0x3c, 0]),
        Just(vec![0xe0])
    ];
    let leaf = prop_oneof![number, string, text, other];
    leaf.prop_recursive(5, 200, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(|items| [
                vec![0x80 | items.len() as u8],
                items.concat()
            ]
            .concat()),
            prop::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(|pairs| {
                let items: Vec<u8> = pairs.iter().flat_map(|(a, b)| [&a[..], b].concat()).collect();
                [vec![0xa0 | pairs.len() as u8], items].concat()
            }),
            inner.prop_map(|item| [vec![0xc1], item].concat()),
        ]
    })
}

fn check(bytes: &[u8], what: &dyn std::fmt::Debug) -> Result<usize, Error> {
    let (peak, read) = peak(bytes);
    let most = FIXED + GROWTH * bytes.len();
    assert!(peak <= most, "{peak} bytes of memory for {} of input: {what:?}", bytes.len());
    read
}

/// All in one test: the allocator counts for the whole process.
#[test]
fn memory_is_a_small_multiple_of_the_input() {
    let (mut refused, mut worst) = (0, 0.0f64);
    for record in hostile(256 << 10) {
        let bytes = stream(std::slice::from_ref(&record));
        let (peak, _) = peak(&bytes);
        worst = worst.max((peak.saturating_sub(FIXED)) as f64 / bytes.len() as f64);
        let what = (record.kind, &record.bytes[record.bytes.len() - 4..]);
        refused += usize::from(
            check(&bytes, &what).is_err_and(|e| e.to_string().contains("too many items")),
        );
    }
    eprintln!("at worst {worst:.1} bytes of memory for a byte of a record, {refused} refused");
    assert!(refused > 20, "only {refused} records were refused for what they would take");

    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/v2-descriptors.stream");
    let golden = std::fs::read(golden).unwrap();
    assert!(check(&golden, &"golden").unwrap() > 40, "what is real is not refused");

    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&(prop::sample::select(Kind::ALL), body()), |(kind, body)| {
            let record = RawRecord::from_parts(kind as u16, kind.version(), &body);
            let _ = check(&stream(&[record]), &body);
            Ok(())
        })
        .unwrap();
    runner
        .run(&any::<Vec<u8>>(), |bytes| {
            let _ = check(&bytes, &bytes);
            Ok(())
        })
        .unwrap();
    // A real stream with a piece of it replaced.
    runner
        .run(&(0..golden.len(), prop::collection::vec(any::<u8>(), 1..40)), |(at, piece)| {
            let mut bytes = golden.clone();
            let end = bytes.len().min(at + piece.len());
            bytes[at..end].copy_from_slice(&piece[..end - at]);
            prop_assert!(bytes == golden || check(&bytes, &at).is_err());
            Ok(())
        })
        .unwrap();
}
