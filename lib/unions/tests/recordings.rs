//! Recordings from real AUFS kernels, with the fault in map_files and without: every reference comes out as the
//! path that `maps` shows, without the prefix of the root of the process.

use floe_unions::{Decision, Mount, Place, Sources, Unions, below, decide, mounts};
use std::{collections::BTreeMap, fs, path::Path};

const DELETED: &[u8] = b" (deleted)";

fn lines(dir: &Path, name: &str) -> Vec<Vec<u8>> {
    let text = fs::read(dir.join(name)).unwrap_or_default();
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

/// `KEY REST` lines.
fn table(dir: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let pair = |line: Vec<u8>| {
        let at = line.iter().position(|b| *b == b' ')?;
        Some((String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec()))
    };
    lines(dir, name).into_iter().filter_map(pair).collect()
}

/// Range to path, as maps shows it.
fn maps(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for line in lines(dir, "maps") {
        let Some(at) = line.iter().position(|b| *b == b'/') else { continue };
        let range = String::from_utf8_lossy(&line).split(' ').next().unwrap().to_owned();
        let (start, end) = range.split_once('-').unwrap();
        let trim = |n: &str| n.trim_start_matches('0').to_owned();
        all.insert(format!("{}-{}", trim(start), trim(end)), line[at..].to_vec());
    }
    all
}

fn read(mounts: &[Mount], dir: &Path) -> std::io::Result<Unions> {
    let sources = Sources { sysfs: &dir.join("sysfs"), ask: &|_| None, given: None };
    Unions::read(mounts, &sources)
}

fn check(dir: &Path, with_fault: bool) -> usize {
    let mounts = mounts(&fs::read(dir.join("mountinfo")).unwrap());
    let unions = read(&mounts, dir).unwrap();
    let root = table(dir, "links").remove("root").unwrap_or_else(|| b"/".to_vec());
    let links = table(dir, "map_files");
    let mut checked = 0;
    for (range, path) in maps(dir) {
        let path = path.strip_suffix(DELETED).unwrap_or(&path);
        let Some(want) = below(path, &root) else { continue };
        let link = links.get(&range).expect("a mapping has its link");
        let link = link.strip_suffix(DELETED).unwrap_or(link);
        if with_fault {
            assert_eq!(unions.place(link, b"/"), Place::Union(want.to_vec()), "{range}");
        } else {
            assert_eq!(unions.place(link, b"/"), Place::Elsewhere, "{range}");
        }
        assert_eq!(
            decide(&unions, b"/", want, || Some(link.to_vec()), || false),
            Decision::Keep,
            "{range}"
        );
        // A kernel that shows the branch everywhere.
        if with_fault {
            assert_eq!(
                decide(&unions, b"/", link, || Some(link.to_vec()), || false),
                Decision::Rewrite(want.to_vec())
            );
        }
        checked += 1;
    }
    checked
}

#[test]
fn every_recording_comes_out_as_maps_shows() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut checked = 0;
    for variant in ["map-files-bug", "map-files-fixed"] {
        for scenario in fs::read_dir(all.join(variant)).unwrap() {
            checked += check(&scenario.unwrap().path(), variant == "map-files-bug");
        }
    }
    assert!(checked > 50, "{checked} references are too few");
}

/// What is at a path now, by the list of a recording.
fn exists(dir: &Path, path: &[u8]) -> bool {
    lines(dir, "stat").iter().any(|line| {
        let name = line.splitn(4, |b| *b == b' ').nth(3).unwrap_or_default();
        let shown = path.iter().map(|b| if *b == b' ' { b'?' } else { *b });
        shown.eq(name.iter().copied())
    })
}

#[test]
fn what_was_hidden_after_it_was_mapped_is_known() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/map-files-bug");
    let why = |scenario: &str, file: &str| {
        let dir = all.join(scenario);
        let mounts = mounts(&fs::read(dir.join("mountinfo")).unwrap());
        let unions = read(&mounts, &dir).unwrap();
        let links = table(&dir, "map_files");
        let link = links.values().find(|link| link.ends_with(file.as_bytes())).expect(file);
        unions.hidden(link, b"/", &|path| exists(&dir, path))
    };
    assert_eq!(why("simple", "/etc/conf"), None);
    assert_eq!(why("simple", "/opt/lib.so"), None);
    let top = |rest: &str| Some(format!("/var/lib/docker/aufs/diff/top{rest}").into_bytes());
    assert_eq!(why("copied-up-after-map", "/etc/conf"), top("/etc/conf"));
    assert_eq!(why("whited-out-after-map", "/opt/lib.so"), top("/opt/.wh.lib.so"));
    assert_eq!(why("whited-out-after-map", "/opt/low"), None);
}
