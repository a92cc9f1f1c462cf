//! A stream that was cut or changed anywhere makes every tool say so, with exit code 4, and do nothing.

use floe_records::*;
use floe_stream::{Item, Reader, Writer};
use floe_tests::{made, run, run_to, tool};
use nix::sys::signal::{Signal, killpg};
use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

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
        opened_to_write: false,
        collapsed: Vec::new(),
        huge: None,
        key: 0,
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

/// Every fifth number below `count`, from another one on each time; all of them with `scripts/test.sh --all`.
fn places(count: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("FLOE_ALL_FAULTS").is_some();
    let (first, step) = if all { (0, 1) } else { (std::process::id() as usize % 5, 5) };
    (first..count).step_by(step)
}

/// The tool reports damage of its input. It writes to no pipe, of which it would look for the reader.
fn told(name: &str, args: &[&str], input: &[u8], what: &str) {
    let output = run_to(Stdio::null(), name, args, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{name}: {what}: {said}");
    assert!(said.starts_with(&format!("{name}: ")) && !said.contains("panicked"), "{said}");
}

fn every_damage_is_told(name: &str, args: &[&str]) {
    let whole = sample();
    for cut in places(whole.len()) {
        told(name, args, &whole[..cut], &format!("cut at {cut}"));
    }
    for at in places(whole.len()) {
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
    for at in places(queue + 5) {
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
    for at in places(image.len()) {
        let mut bytes = image.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(dir.path().join("changed"), &bytes).expect("write");
        let changed = dir.path().join("changed");
        told("imgpack", &["--verify", changed.to_str().expect("path")], b"", &format!("byte {at}"));
    }
}

/// Processes that are captured for real: a shell, a pipe, and what it runs.
struct Living {
    shell: Child,
}

impl Living {
    fn start() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap : USR1; sleep 1000 | sleep 1000; :"]).process_group(0);
        let streams = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let living = Self { shell: streams.spawn().expect("sh starts") };
        let task = format!("/proc/{0}/task/{0}/children", living.shell.id());
        let children = || std::fs::read_to_string(&task).expect("children").split(' ').count();
        while children() < 3 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // The shell becomes `sleep` a moment later.
        std::thread::sleep(std::time::Duration::from_millis(200));
        living
    }

    /// What these tools make of it.
    fn stream(&self, tools: &str) -> Vec<u8> {
        let bin = tool("freeze");
        let path = format!("{}:/usr/bin:/bin", bin.parent().expect("a directory").display());
        let command = format!("set -o pipefail; freeze {} {tools}", self.shell.id());
        let output =
            Command::new("bash").args(["-c", &command]).env("PATH", path).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} (as root?): {said}");
        output.stdout
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = killpg(nix::unistd::Pid::from_raw(self.shell.id() as i32), Signal::SIGKILL);
        let _ = self.shell.wait();
    }
}

/// Start and kind of every item up to the first record of bulk, and where that is.
fn metadata(stream: &[u8]) -> (Vec<(usize, u16)>, usize) {
    let mut reader = Reader::new(stream);
    let mut items = Vec::new();
    loop {
        match reader.next().expect("a whole stream") {
            Item::Record(raw) if is_bulk(raw.kind) => return (items, raw.at as usize),
            Item::Record(raw) => items.push((raw.at as usize, raw.kind)),
            Item::Bulk(_) => {}
            Item::End => return (items, stream.len()),
        }
    }
}

/// Records of a real tree are damaged at several places and cut, and every tool that decodes it says so.
#[test]
fn real_records() {
    let living = Living::start();
    let tree = living.stream("");
    let files = living.stream("| dumpfs | aufsfix");
    let whole = living.stream("| dumpfs | aufsfix | dumpmem");
    let mut kinds = BTreeSet::new();
    for (name, stream) in [
        ("dumpfs", &tree),
        ("aufsfix", &files),
        ("dumpmem", &files),
        ("restore", &whole),
        ("imgpack", &whole),
    ] {
        let (items, end) = metadata(stream);
        kinds.extend(items.iter().map(|(_, kind)| *kind));
        let ends = items.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let all: Vec<_> = items.iter().zip(ends).collect();
        for ((start, kind), end) in places(all.len()).map(|n| all[n]) {
            // The kind, the version, the start of the body, and places all over it.
            let all =
                (0..6).map(|n| start + n).chain((1..8).map(|n| start + (end - start) * n / 8));
            for (n, at) in all.enumerate() {
                let mut bytes = stream.clone();
                bytes[at] ^= 1 << (n % 8);
                told(name, &[], &bytes, &format!("kind {kind}, byte {at} changed"));
            }
            told(name, &[], &stream[..*start], &format!("cut before kind {kind}"));
            told(name, &[], &stream[..(start + end) / 2], &format!("cut in kind {kind}"));
        }
    }
    let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 30, 31, 41, 49, 50, 51];
    assert!(expected.iter().all(|kind| kinds.contains(kind)), "only kinds {kinds:?}");
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
