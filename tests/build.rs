//! Makes a test of each scenario and of each fixture: a new file is a new test, and nothing else has to name it.
//!
//! A file with a line `# known fault: WHY` shows a fault that is not mended yet: its test fails when it passes by now.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut code = String::new();
    code += &tests(
        &here.join("e2e"),
        "sh",
        &["lib", "race", "resource", "refused", "lost", "containers", "hosts"],
        "{}",
        "&[]",
    );
    let kinds =
        [("resource", "fixtures"), ("refused", "fixtures/refused"), ("lost", "fixtures/lost")];
    for (name, dir) in kinds {
        let dir = here.join(dir);
        let inner = tests(&dir, "py", &["fixture", "race", "uring"], name, "&[\"{}\"]");
        code += &format!("mod {name} {{\n{inner}}}\n");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let written = fs::write(out.join("scenarios.rs"), code);
    if let Err(error) = written {
        println!("cargo::error=unable to write the list of scenarios: {error}");
    }
}

/// A test for each file of a directory; `{}` stands for its name.
fn tests(dir: &Path, ending: &str, but: &[&str], scenario: &str, args: &str) -> String {
    println!("cargo::rerun-if-changed={}", dir.display());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let mut code = String::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if file.extension().is_none_or(|e| e != ending) || but.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        let fault = text.lines().any(|line| line.starts_with("# known fault: "));
        let how = if fault { "known_fault" } else { "scenario" };
        let (scenario, args) = (scenario.replace("{}", &name), args.replace("{}", &name));
        code +=
            &format!("#[test]\nfn {name}() {{\n    crate::{how}(\"{scenario}\", {args});\n}}\n");
    }
    code
}
