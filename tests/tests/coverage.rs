//! doc/coverage.md says what is kept, refused and reported as lost. It is made from the list of resources and from what the
//! fixtures say of themselves: `FLOE_UPDATE=1 cargo test --release -p floe-tests --test coverage` writes it anew.

use floe_records::{Kind, Scope};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const HEAD: &str = "\
# What is kept, refused, and lost

Made from the list of resources (`lib/records/src/list.rs`) and from what the fixtures say of themselves
(`FLOE_UPDATE=1 cargo test --release -p floe-tests --test coverage`); a test keeps it true. Each fixture is a program that the
suite checkpoints: one for what is kept checks itself after each restore, one for what is refused or lost shows that `freeze
--check` and the checkpoint say the same sentence, and that the program runs on.
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program that says of itself what it is for.
struct Fixture {
    name: String,
    about: String,
    /// Lines `# WORD: text`, by WORD.
    says: BTreeMap<String, Vec<String>>,
}

fn fixtures(dir: &str) -> Vec<Fixture> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join(dir)).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_file() && !["fixture", "uring"].contains(&name.as_str()) {
            all.push(fixture(&path, name));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn fixture(path: &Path, name: String) -> Fixture {
    let text = fs::read_to_string(path).expect("text");
    let about = match path.extension().is_some_and(|e| e == "py") {
        true => text.split("\"\"\"").nth(1).unwrap_or_default().to_owned(),
        // The comment at the head of a scenario.
        false => {
            let comment = text.lines().map_while(|line| line.strip_prefix("# "));
            comment.filter(|line| !line.starts_with("covers:")).collect::<Vec<_>>().join(" ")
        }
    };
    let mut says: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        if let Some((word, rest)) = line.split_once(": ") {
            says.entry(word.to_owned()).or_default().push(rest.to_owned());
        }
    }
    let about = match about.is_empty() {
        true => name.replace('_', " "),
        false => about.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    Fixture { name, about, says }
}

impl Fixture {
    fn lines(&self, word: &str) -> &[String] {
        self.says.get(word).map_or(&[], Vec::as_slice)
    }

    fn covers(&self, kind: Kind) -> bool {
        self.lines("covers").iter().any(|line| line.split_whitespace().any(|k| k == kind.name()))
    }
}

/// The first sentence of what a module of records says of itself.
fn about(kind: Kind) -> String {
    let path = format!("lib/records/src/{:?}/{}.rs", kind.scope(), kind.module());
    let text = fs::read_to_string(root().join(path)).expect("a module");
    let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
    let whole = lines.collect::<Vec<_>>().join(" ");
    let end = whole.find(". ").map_or(whole.len(), |at| at + 1);
    whole[..end].to_owned()
}

/// Text in the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// A sentence that a test looks for, as people read it: its pattern for a number or a name becomes `…`.
fn sentence(pattern: &str) -> String {
    cell(&pattern.replace("[0-9a-f]*", "…").replace("[0-9]*", "…").replace(".*", "…"))
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut all = fixtures("tests/fixtures");
    all.extend(fixtures("tests/e2e"));
    page += "\n## Kept\n\n| of | kind | what it is | checked by |\n|---|---|---|---|\n";
    let resources = Kind::ALL.iter().filter(|k| !matches!(k.scope(), Scope::frame | Scope::bulk));
    for &kind in resources {
        let by: Vec<_> = all.iter().filter(|f| f.covers(kind)).map(|f| f.name.as_str()).collect();
        let about = cell(&about(kind));
        let line = (kind.scope(), kind.name(), about, by.join(", "));
        writeln!(page, "| {:?} | {} | {} | {} |", line.0, line.1, line.2, line.3).expect("text");
    }
    page +=
        "\n### What the fixtures check\n\n| fixture | what it has and finds again |\n|---|---|\n";
    for fixture in fixtures("tests/fixtures") {
        writeln!(page, "| {} | {} |", fixture.name, cell(&fixture.about)).expect("text");
    }
    for (title, dir, word) in
        [("Refused", "tests/fixtures/refused", "refused"), ("Lost", "tests/fixtures/lost", "lost")]
    {
        write!(page, "\n## {title}\n\n| fixture | what it has | what is said |\n|---|---|---|\n")
            .expect("text");
        for fixture in fixtures(dir) {
            let said: Vec<_> = fixture.lines(word).iter().map(|line| sentence(line)).collect();
            let line = (&fixture.name, cell(&fixture.about), said.join("; "));
            writeln!(page, "| {} | {} | {} |", line.0, line.1, line.2).expect("text");
        }
    }
    page
}

#[test]
fn the_page_is_what_the_fixtures_say() {
    let path = root().join("doc/coverage.md");
    let page = page();
    if std::env::var_os("FLOE_UPDATE").is_some() {
        fs::write(&path, &page).expect("write");
    }
    let there = fs::read_to_string(&path).expect("doc/coverage.md");
    assert!(there == page, "doc/coverage.md is not what the fixtures say: FLOE_UPDATE=1 writes it");
}

#[test]
fn every_fixture_says_what_it_is_for() {
    for fixture in fixtures("tests/fixtures") {
        assert!(fixture.about.ends_with('.'), "{} says nothing of itself", fixture.name);
    }
    for (dir, word) in [("tests/fixtures/refused", "refused"), ("tests/fixtures/lost", "lost")] {
        for fixture in fixtures(dir) {
            assert!(!fixture.lines(word).is_empty(), "{dir}/{} names no sentence", fixture.name);
        }
    }
}
