//! Images of released formats are read by today's tools: see tests/golden/README.md.

use floe_stream::{Item, Reader};
use floe_tests::{run, tool};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// File, records, and bytes of bulk, as the release that wrote it counted them.
const FILES: [(&str, u64, u64); 6] = [
    ("v1-descriptors.floe", 51, 8_942),
    ("v1-descriptors.stream", 49, 8_942),
    ("v1-pipeline.floe", 77, 126_990),
    ("v2-descriptors.floe", 96, 13_038),
    ("v2-descriptors.stream", 94, 13_038),
    ("v2-pipeline.floe", 115, 122_894),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn imgpack(mode: &str, file: &Path) -> Output {
    let output = Command::new(tool("imgpack")).arg(mode).arg(file).output().expect("imgpack");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "imgpack {mode} {}: {said}", file.display());
    output
}

/// Kinds and versions of all records, and how often each comes; all bulk counts as kind 0.
fn kinds(stream: &[u8]) -> BTreeMap<(u64, u64), usize> {
    let mut reader = Reader::new(stream);
    let mut kinds = BTreeMap::new();
    loop {
        let key = match reader.next().expect("a whole stream") {
            Item::Record(record) => (record.kind.into(), record.version.into()),
            Item::Bulk(_) => (0, 0),
            Item::End => return kinds,
        };
        *kinds.entry(key).or_default() += 1;
    }
}

#[test]
fn imgpack_reads_every_release() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (name, records, bulk) in FILES {
        let file = golden(name);
        let whole = String::from_utf8(imgpack("--verify", &file).stdout).expect("text");
        assert_eq!(whole, format!("whole: {records} records, {bulk} bytes of bulk\n"), "{name}");

        let stream = imgpack("--unpack", &file).stdout;
        let kinds = kinds(&stream);
        let items: usize = kinds.values().sum();
        let list = String::from_utf8(imgpack("--list", &file).stdout).expect("text");
        // Behind the records it says what belongs to the world outside.
        let listed = list.lines().filter(|line| !line.starts_with("outside: "));
        assert_eq!(listed.count(), items, "{name}");

        let mut shown = BTreeMap::new();
        let json = String::from_utf8(imgpack("--json", &file).stdout).expect("text");
        for line in json.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let number = |key: &str| line[key].as_u64().unwrap_or_default();
            assert!(line["bulk"].is_u64() || line["body"].is_object(), "{name}: {line}");
            *shown.entry((number("kind"), number("version"))).or_default() += 1;
        }
        assert_eq!(shown, kinds, "{name}");

        // Packed again it gives what the image of the release gives.
        let image = dir.path().join(name);
        let image_name = image.to_str().expect("a path of letters");
        assert!(run("imgpack", &["-o", image_name], &stream).status.success(), "{name}");
        let released = imgpack("--unpack", &golden(name).with_extension("floe")).stdout;
        assert!(imgpack("--unpack", &image).stdout == released, "{name} changed on the way");
    }
}

#[test]
fn restore_plans_it_or_says_that_it_is_older() {
    for (name, ..) in FILES {
        let bytes = fs::read(golden(name)).expect("read");
        let output = run("restore", &["--plan"], &bytes);
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => assert!(output.stdout.len() > 100, "{name}: no plan"),
            // A record of another version, or one that the release did not write.
            Some(4) => assert!(said.contains("version"), "{name}: {said}"),
            Some(3) => {
                let old = |line: &str| line.contains("an older release has written it");
                assert!(said.lines().all(old), "{name}: {said}");
            }
            other => panic!("{name}: exit {other:?}: {said}"),
        }
    }
}

#[test]
fn every_file_is_tested() {
    for entry in fs::read_dir(golden("")).expect("tests/golden") {
        let name = entry.expect("entry").file_name().into_string().expect("a name of letters");
        let known = FILES.iter().any(|(file, ..)| *file == name);
        assert!(known || !name.starts_with('v'), "{name} is not tested");
    }
}

/// The framing has kinds of its own, which no record may have.
#[test]
fn records_leave_the_kinds_of_the_framing_alone() {
    use floe_stream::{ABORT, END, INDEX, INDEX_AT, PAD, SEAL};
    let framing = [SEAL, PAD, INDEX, INDEX_AT, ABORT, END];
    for kind in floe_records::Kind::ALL {
        assert!(!framing.contains(&kind.number()), "{} has a number of the framing", kind.name());
    }
}
