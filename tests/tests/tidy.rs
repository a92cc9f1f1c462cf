//! What ARCHITECTURE.md promises of the tree of sources, read off the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Crates in which `unsafe` may stand.
const UNSAFE: [&str; 3] = ["sys", "tracee", "parasite"];
/// Who may know whom, for those that must not know much.
const MAY_KNOW: [(&str, &[&str]); 9] = [
    ("records", &[]),
    ("worker_pool", &[]),
    ("elf", &[]),
    ("sys", &[]),
    ("unions", &[]),
    ("stream", &["records"]),
    ("plan", &["records"]),
    ("tracee", &["sys"]),
    ("parasite", &["sys", "tracee"]),
];
/// Longest file, lines.
const LONGEST: usize = 500;

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

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
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
        assert!(!knows("clap"), "lib/{name} knows command lines");
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

#[test]
fn files_are_short_and_whole() {
    let mut all = Vec::new();
    for dir in ["lib", "tools", "tests"] {
        sources(&root().join(dir), &mut all);
    }
    assert!(all.len() > 100, "the sources were not found");
    let stubs = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    for path in all {
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
