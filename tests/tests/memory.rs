//! `imgpack` shows and packs large records in a small multiple of the memory that they take as bytes.

use floe_records::*;
use floe_stream::{RawRecord, Writer};
use floe_tests::{made, tool};
use std::{
    fs,
    io::{Read, Write},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// Elements of each list.
const MANY: u32 = 100_000;
/// Peak of the tool above its peak for a small stream, in bytes for each byte of the stream.
const GROWTH: u64 = 4;
/// Behind this much of the tail the tool still waits for End.
const TAIL: usize = 10;

fn records() -> Vec<RawRecord> {
    let timer = PosixTimer {
        id: 1,
        clock: 1,
        notify: 0,
        signal: 14,
        value: Addr(1),
        tid: None,
        interval_ns: 5,
        left_ns: 5,
        overrun: 0,
    };
    let posix = (0..MANY).map(|id| PosixTimer { id, ..timer }).collect();
    let timers = Timers { pid: made::NOBODY, itimers: [(0, 0); 3], posix };
    let limits = Limits { pid: made::NOBODY, limits: vec![(1, 2); MANY as usize] };
    let branch =
        |n: u32| (Bytes::from(format!("/branches/{n}").into_bytes()), Bytes::from("ro+wh"));
    let union = Union {
        point: "/".into(),
        fs_type: "aufs".into(),
        source: "none".into(),
        flags: "rw".into(),
        root: "/".into(),
        branches: (0..MANY).map(branch).collect(),
        options: "".into(),
    };
    let encoded =
        [RawRecord::encode(&timers), RawRecord::encode(&limits), RawRecord::encode(&union)];
    let mut records = Vec::from(encoded.map(|record| record.expect("encode")));
    // What no tool knows, one byte for each item: numbers, nothing, empty strings, lists and maps.
    for item in [0x00, 0xf6, 0x40, 0x60, 0x80, 0xa0] {
        let body = [&[0x9a][..], &(1u32 << 20).to_be_bytes(), &[item; 1 << 20]].concat();
        records.push(RawRecord::from_parts(77, 1, &body));
    }
    records
}

fn stream(record: Option<&RawRecord>) -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&made::begin()).expect("write");
    out.record(&TreeEnd { processes: 0, threads: 0 }).expect("write");
    record.iter().for_each(|record| out.raw(record).expect("write"));
    out.end().expect("write")
}

fn status(child: &Child, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim_start_matches(':').trim().to_owned()
}

/// Peak of resident memory (VmHWM), bytes, when all but End has been worked through.
fn peak(args: &[&str], stream: &[u8]) -> u64 {
    let mut child = Command::new(tool("imgpack"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("imgpack starts");
    let mut shown = child.stdout.take().expect("stdout");
    let reader = thread::spawn(move || std::io::copy(&mut shown.by_ref(), &mut std::io::sink()));
    let mut stdin = child.stdin.take().expect("stdin");
    let (start, tail) = stream.split_at(stream.len() - TAIL);
    stdin.write_all(start).expect("imgpack reads");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut quiet = 0;
    while quiet < 5 {
        let waits = floe_sys::pipe_queued(stdin.as_fd()).expect("FIONREAD") == 0
            && status(&child, "State").starts_with('S');
        quiet = if waits { quiet + 1 } else { 0 };
        assert!(Instant::now() < deadline, "imgpack {args:?} does not come to an end");
        sleep(Duration::from_millis(5));
    }
    let peak = status(&child, "VmHWM");
    let peak: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
    stdin.write_all(tail).expect("imgpack reads");
    drop(stdin);
    assert!(child.wait().expect("imgpack ends").success(), "imgpack {args:?}");
    reader.join().expect("a thread").expect("stdout");
    peak << 10
}

#[test]
fn large_records_take_little_memory() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let image = dir.path().join("image");
    let image = image.to_str().expect("a path of letters");
    for args in [&["--list"][..], &["--json"], &["--verify"], &["--no-sync", "-o", image]] {
        let base = peak(args, &stream(None));
        for record in records() {
            let bytes = stream(Some(&record));
            let more = peak(args, &bytes).saturating_sub(base);
            let ratio = more as f64 / bytes.len() as f64;
            eprintln!("{args:?}: kind {}, {} bytes: {ratio:.1}", record.kind, bytes.len());
            assert!(more <= GROWTH * bytes.len() as u64, "{more} bytes for {}", bytes.len());
        }
    }
}
