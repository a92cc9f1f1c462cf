//! What ARCHITECTURE.md promises of the tree of sources, read off the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Crates in which `unsafe` may stand.
const UNSAFE: [&str; 3] = ["sys", "tracee", "parasite"];
/// Who may know whom, for those that must not know much.
const MAY_KNOW: [(&str, &[&str]); 14] = [
    ("records", &[]),
    ("worker_pool", &[]),
    ("elf", &[]),
    ("sys", &[]),
    ("unions", &["mounts"]),
    ("mounts", &["sys"]),
    ("stream", &["records"]),
    ("plan", &["records"]),
    ("proc", &["sys"]),
    ("netlock", &["sys"]),
    ("pager", &["sys"]),
    ("tables", &["sys", "proc"]),
    ("tracee", &["sys", "proc"]),
    ("parasite", &["sys", "tracee"]),
];
/// Longest file, and longest function, lines.
const LONGEST: usize = 500;
const LONGEST_FUNCTION: usize = 70;
/// Where text for people may be printed directly, besides `lib/toolkit` and tests.
const PRINTS: [&str; 1] = ["lib/parasite/build.rs"];
/// Types that no field of a record may have: texts of a foreign kernel are bytes, and sizes have one width everywhere.
const UNPORTABLE: [&str; 3] = ["String", "usize", "isize"];
/// The fields that have them all the same: texts that floe writes itself.
const OWN_TEXTS: [&str; 8] = [
    "begin.rs: arch",
    "begin.rs: writer",
    "finding.rs: object",
    "finding.rs: problem",
    "finding.rs: rule",
    "losses.rs: tool",
    "finding.rs: hint",
    "stage.rs: tool",
];
/// Words that the field has a better term for, and how often they still stand somewhere. Lower a number with each
/// that goes; it never rises.
const PRIVATE_WORDS: [(&str, usize); 12] = [
    ("crew", 0),
    ("undertaker", 0),
    ("bury", 0),
    ("widowed", 0),
    ("wishes", 0),
    ("come_home", 0),
    ("guest", 0),
    ("lender", 0),
    ("whoever", 0),
    ("so many", 0),
    ("what of", 0),
    ("chase", 0),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Directories of the crates below `lib` or `tools`, by name.
fn crates(kind: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(root().join(kind)).expect("a directory");
    let named =
        |path: PathBuf| (path.file_name().expect("a name").to_string_lossy().into_owned(), path);
    entries.map(|entry| named(entry.expect("an entry").path())).collect()
}

/// Files below a directory whose names end like this.
fn sources(dir: &Path, ending: &str, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, ending, all);
        } else if path.extension().is_some_and(|own| own == ending) {
            all.push(path);
        }
    }
}

/// Dependencies of a crate but those of its tests.
fn dependencies(dir: &Path) -> Vec<String> {
    let text = read(&dir.join("Cargo.toml"));
    let own = text.split("[dependencies]").nth(1).unwrap_or_default();
    let own = own.split("\n[").next().unwrap_or_default();
    own.lines().filter_map(|line| Some(line.split(['.', '=', ' ']).next()?.to_owned())).collect()
}

#[test]
fn who_knows_whom() {
    let lib = crates("lib");
    for (name, may) in MAY_KNOW {
        for dependency in dependencies(&lib[name]) {
            let Some(other) = dependency.strip_prefix("floe-") else { continue };
            assert!(may.contains(&other), "lib/{name} must not know lib/{other}");
        }
    }
    for (name, dir) in &lib {
        let known = dependencies(dir);
        let knows = |what: &str| known.iter().any(|known| known == what);
        assert!(!knows("clap") || name == "toolkit", "lib/{name} knows command lines");
        assert!(!knows("anyhow") || name == "toolkit", "lib/{name} has errors without types");
        let streams = ["image", "toolkit"].contains(&name.as_str());
        assert!(!knows("floe-stream") || streams, "lib/{name} knows the stream");
    }
}

#[test]
fn the_map_shows_every_crate_and_every_tool_has_its_page() {
    let map = read(&root().join("ARCHITECTURE.md"));
    for name in crates("lib").keys() {
        assert!(map.contains(&format!("lib/{name} ")), "lib/{name} is not on the map");
    }
    let readme = read(&root().join("README.md"));
    for name in crates("tools").keys() {
        let page = read(&root().join(format!("doc/{name}.md")));
        assert!(
            page.contains("## Examples") && page.to_lowercase().contains("exit codes"),
            "{name}.md"
        );
        assert!(readme.contains(&format!("doc/{name}.md")), "README.md does not show {name}");
    }
}

#[test]
fn unsafe_code_stands_where_it_may() {
    for (name, dir) in crates("lib").into_iter().chain(crates("tools")) {
        let root = ["src/lib.rs", "src/main.rs"].map(|file| dir.join(file));
        let root = root.iter().find(|file| file.exists()).expect("a crate has a root");
        let forbids = read(root).contains("#![forbid(unsafe_code)]");
        assert!(
            forbids || UNSAFE.contains(&name.as_str()),
            "{} allows unsafe code",
            root.display()
        );
    }
}

/// The sources of all crates.
fn all_sources() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for dir in ["lib", "tools", "tests"] {
        sources(&root().join(dir), "rs", &mut all);
    }
    assert!(all.len() > 100, "the sources were not found");
    all
}

/// A path as seen from the root of the repository.
fn short(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

#[test]
fn files_are_short_and_whole() {
    let stubs = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    for path in all_sources() {
        let text = read(&path);
        assert!(
            text.lines().count() <= LONGEST,
            "{} is longer than {LONGEST} lines",
            path.display()
        );
        assert!(stubs.iter().all(|stub| !text.contains(stub)), "{} has a stub", path.display());
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//!"), "{} does not say what it is", path.display());
    }
}

/// The name of a function whose body begins in this line.
fn function(line: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let (before, rest) = line.trim_start().split_once("fn ")?;
    let before = before.split_whitespace();
    let is_head = before
        .into_iter()
        .all(|word| BEFORE.contains(&word) || word == "extern" || word.starts_with('"'));
    let ends = line.ends_with(';') || line.ends_with('}');
    (is_head && !ends).then(|| rest.split(['(', '<']).next().unwrap_or_default())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn functions_are_short() {
    let mut seen = 0;
    for path in all_sources() {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = function(line) else { continue };
            let close = format!("{}}}", " ".repeat(indentation(line)));
            let length = lines[at..].iter().position(|line| *line == close).map(|last| last + 1);
            // A declaration over several lines has no body.
            let Some(length) = length else { continue };
            seen += 1;
            assert!(
                length <= LONGEST_FUNCTION,
                "{}: {name} is {length} lines long, and {LONGEST_FUNCTION} is the limit",
                short(&path)
            );
        }
    }
    assert!(seen > 500, "functions are not recognized: {seen}");
}

#[test]
fn text_for_people_goes_through_the_toolkit() {
    let macros = ["print", "eprint", "println", "eprintln", "dbg"].map(|name| format!("{name}!("));
    for path in all_sources() {
        let name = short(&path);
        let may = ["lib/toolkit/", "tests/", "xtask/"].iter().any(|dir| name.starts_with(dir));
        if may || name.contains("/tests/") || PRINTS.contains(&name.as_str()) {
            continue;
        }
        for line in read(&path).lines().filter(|line| !line.trim_start().starts_with("//")) {
            let uses = |name: &&String| line.contains(name.as_str());
            // A test that cannot be done says so.
            let skips = line.contains("\"SKIPPED: ");
            assert!(
                skips || !macros.iter().any(|name| uses(&name)),
                "{name} prints by itself: {line}"
            );
        }
    }
}

#[test]
fn records_have_portable_fields() {
    let mut all = Vec::new();
    sources(&root().join("lib/records/src"), "rs", &mut all);
    let mut own = Vec::new();
    for path in all {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        for line in read(&path).lines() {
            let Some((name, kind)) =
                line.trim().strip_prefix("pub ").and_then(|l| l.split_once(": "))
            else {
                continue;
            };
            let mut words = kind.split(|c: char| !c.is_alphanumeric());
            // Functions and constants are no fields.
            if !name.contains(['(', ' ']) && words.any(|word| UNPORTABLE.contains(&word)) {
                own.push(format!("{file}: {name}"));
            }
        }
    }
    own.sort();
    let mut known = OWN_TEXTS.to_vec();
    known.sort_unstable();
    assert_eq!(own, known, "fields of records");
}

#[test]
fn private_words_become_fewer() {
    let mut all = all_sources();
    for (dir, ending) in [("doc", "md"), ("scripts", "sh"), ("tests", "sh")] {
        sources(&root().join(dir), ending, &mut all);
    }
    all.extend(["README.md", "ARCHITECTURE.md", "FORMAT.md"].map(|file| root().join(file)));
    all.retain(|path| !path.ends_with("tests/tests/tidy.rs"));
    // One space between words, whatever stands there.
    let plain = |text: String| {
        let words = text.to_lowercase();
        let words =
            words.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        format!(" {} ", words.collect::<Vec<_>>().join("  "))
    };
    let texts: Vec<String> = all.iter().map(|path| plain(read(path))).collect();
    for (words, most) in PRIVATE_WORDS {
        let phrase = format!(" {} ", words.replace(' ', "  "));
        let count: usize = texts.iter().map(|text| text.matches(&phrase).count()).sum();
        assert!(count <= most, "\"{words}\" stands {count} times, {most} are the most");
    }
}

#[test]
fn the_oldest_compiler_is_the_same_everywhere() {
    let manifest = read(&root().join("Cargo.toml"));
    let version =
        manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next());
    let version = version.expect("Cargo.toml names the oldest compiler");
    assert!(read(&root().join("README.md")).contains(&format!("Rust {version} or newer")));
    // The lints, among them incompatible_msrv, and the version hold for a crate only where it says so.
    let others = [("tests".to_owned(), root().join("tests"))];
    for (name, dir) in crates("lib").into_iter().chain(crates("tools")).chain(others) {
        let own = read(&dir.join("Cargo.toml"));
        assert!(own.contains("rust-version.workspace = true"), "{name} has another compiler");
        assert!(own.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
    }
}

/// Kinds of the list that stand for a resource: those whose scope has parts in capture and rebuild.
fn resources() -> Vec<floe_records::Kind> {
    use floe_records::{Kind, Scope};
    let is_resource = |kind: &Kind| !matches!(kind.scope(), Scope::frame | Scope::bulk);
    Kind::ALL.iter().copied().filter(is_resource).collect()
}

#[test]
fn every_resource_has_its_three_files_and_a_fixture() {
    let mut covered = String::new();
    for dir in ["tests/fixtures", "tests/e2e"] {
        for entry in fs::read_dir(root().join(dir)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let text = read(&path);
                let lines = text.lines().filter_map(|line| line.strip_prefix("# covers: "));
                lines.for_each(|line| covered += &format!("{line} "));
            }
        }
    }
    let covered: Vec<&str> = covered.split_whitespace().collect();
    for kind in resources() {
        for part in ["records", "capture", "rebuild"] {
            let file = format!("lib/{part}/src/{:?}/{}.rs", kind.scope(), kind.module());
            assert!(root().join(&file).exists(), "{file} is missing");
        }
        assert!(covered.contains(&kind.name()), "no fixture says `# covers: {}`", kind.name());
    }
    for name in covered {
        let known = floe_records::Kind::ALL.iter().any(|kind| kind.name() == name);
        assert!(known, "a fixture covers {name}, which is no kind of the list");
    }
}

/// What writes into a pipe fails when grep(1) ends at the first match, and the scenario with it (pipefail).
#[test]
fn scenarios_read_pipes_to_their_end() {
    let mut all = Vec::new();
    sources(&root().join("tests/e2e"), "sh", &mut all);
    assert!(all.len() > 50, "scenarios");
    for path in all {
        let quiet = ["| grep -q", "| grep -Eq"];
        let text = read(&path).replace("||", "");
        let found = text.lines().find(|line| quiet.iter().any(|it| line.contains(it)));
        assert_eq!(found, None, "{}: has_line of lib.sh reads all", path.display());
    }
}
