//! A stream that was cut or changed anywhere makes every tool say so, with exit code 4, and do nothing.

use floe_records::*;
use floe_stream::Writer;
use floe_tests::{made, run, tool};

/// A small stream of nobody: no pid of it exists.
fn sample() -> Vec<u8> {
    let mut out = Writer::new(Vec::new());
    out.record(&made::begin()).expect("write");
    let vma = Vma {
        start: Addr(0x1000),
        end: Addr(0x3000),
        prot: 3,
        shared: false,
        kind: VmaKind::Anon,
        offset: 0,
        file: None,
        name: Some("heap".into()),
        flags: "rdwrmrmwme".into(),
        guards: Vec::new(),
    };
    out.record(&Vmas { pid: Pid(4_194_303), vmas: vec![vma] }).expect("write");
    out.record(&TreeEnd { processes: 0, threads: 0 }).expect("write");
    let id = ObjectId { dev: 12, ino: 77 };
    let (packets, bytes) = (Vec::new(), Vec::new());
    out.record(&PipeData { id, capacity: 4096, len: 5, packets, bytes }).expect("write");
    out.bulk(b"bytes").expect("write");
    let mut ranges = Ranges::default();
    ranges.push(0x1000, 0x1000).expect("a page");
    out.record(&Pages { pid: Pid(4_194_303), ranges }).expect("write");
    // Short, so that each byte of it can be changed in little time.
    out.bulk(&[5; 64]).expect("write");
    out.end().expect("write")
}

fn told(name: &str, args: &[&str], input: &[u8], what: &str) {
    let output = run(name, args, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{name}: {what}: {said}");
    assert!(said.starts_with(&format!("{name}: ")) && !said.contains("panicked"), "{said}");
}

fn every_damage_is_told(name: &str, args: &[&str]) {
    let whole = sample();
    for cut in 0..whole.len() {
        told(name, args, &whole[..cut], &format!("cut at {cut}"));
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        // Another bit in each byte; all of them would take eight times as long and tell no more.
        bytes[at] ^= 1 << (at * 5 % 8);
        told(name, args, &bytes, &format!("byte {at} changed"));
    }
    let longer = [&whole[..], b"\0"].concat();
    told(name, args, &longer, "a byte behind End");
}

#[test]
fn dumpfs() {
    every_damage_is_told("dumpfs", &[]);
}

#[test]
fn aufsfix() {
    every_damage_is_told("aufsfix", &[]);
}

#[test]
fn dumpmem() {
    every_damage_is_told("dumpmem", &[]);
}

/// What comes behind the checksum of the metadata is told when it is reached: see e2e/damaged_image.sh.
#[test]
fn restore() {
    let whole = sample();
    let queue = whole.windows(5).position(|w| w == b"bytes").expect("the contents of the pipe");
    for at in 0..queue + 5 {
        told("restore", &[], &whole[..at], &format!("cut at {at}"));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at * 5 % 8);
        told("restore", &[], &bytes, &format!("byte {at} changed"));
    }
}

#[test]
fn imgpack() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let image = dir.path().join("image");
    let path = image.to_str().expect("a path of letters");
    every_damage_is_told("imgpack", &["-o", path]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 0, "nothing is left behind");
    every_damage_is_told("imgpack", &["--verify"]);
    let packed = run("imgpack", &["-o", path], &sample());
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let image = std::fs::read(image).expect("image");
    for at in 0..image.len() {
        let mut bytes = image.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(dir.path().join("changed"), &bytes).expect("write");
        let changed = dir.path().join("changed");
        told("imgpack", &["--verify", changed.to_str().expect("path")], b"", &format!("byte {at}"));
    }
}

/// A reader takes 64 KiB at a time: End may be the last of that, and the file go on.
#[test]
fn a_byte_behind_a_full_buffer_is_told() {
    let stream = |bulk: usize| {
        let mut out = Writer::new(Vec::new());
        out.record(&made::begin()).expect("write");
        out.record(&TreeEnd { processes: 0, threads: 0 }).expect("write");
        let (id, len) = (ObjectId { dev: 1, ino: 3 }, bulk as u32);
        let (packets, bytes) = (Vec::new(), Vec::new());
        out.record(&PipeData { id, capacity: 1 << 20, len, packets, bytes }).expect("write");
        out.bulk(&vec![1; bulk]).expect("write");
        out.end().expect("write")
    };
    const BUFFER: usize = 64 << 10;
    let bulk = 60_000 + BUFFER - stream(60_000).len();
    let whole = stream(bulk);
    assert_eq!(whole.len(), BUFFER);
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("stream");
    for (rest, code) in [(&b""[..], 0), (&b"x"[..], 4)] {
        std::fs::write(&path, [&whole[..], rest].concat()).expect("write");
        for mode in [&["--verify"][..], &["--list"], &["--unpack"]] {
            let stdin = std::fs::File::open(&path).expect("open");
            let mut imgpack = std::process::Command::new(tool("imgpack"));
            let output = imgpack.args(mode).stdin(stdin).output().expect("imgpack starts");
            assert_eq!(output.status.code(), Some(code), "{mode:?} with {} bytes more", rest.len());
        }
    }
}
