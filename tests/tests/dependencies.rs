//! What crates of others floe is built from: their licences, where they come from, and that none comes twice. Whether one
//! has a known fault cannot be told without asking a database on the network.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Licences that one may choose from the expression of a crate.
const LICENCES: [&str; 6] =
    ["MIT", "Apache-2.0", "Unicode-3.0", "BSL-1.0", "BSD-3-Clause", "BSD-2-Clause"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Crates that come in two versions, because those that use them disagree.
const TWICE: [&str; 1] = ["syn"];

/// The packages of the workspace, and all that they are built from.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = all["packages"].as_array().expect("packages").clone();
    assert!(all.len() > 50, "only {} packages", all.len());
    all
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Whether a licence expression (SPDX, or the old form with `/`) can be met by [`LICENCES`].
fn is_allowed(expression: &str) -> bool {
    let any = |choice: &str| {
        let choice = choice.trim_matches(['(', ')']).replace('/', " OR ");
        choice.split(" OR ").any(|licence| LICENCES.contains(&licence))
    };
    expression.split(" AND ").all(any)
}

#[test]
fn licences_are_known() {
    for package in packages() {
        let (name, licence) = (text(&package, "name"), text(&package, "license"));
        assert!(is_allowed(licence), "{name} has the licence {licence:?}");
    }
    assert!(is_allowed("Zlib OR MIT") && is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    for other in ["", "GPL-2.0-only", "MIT AND GPL-2.0-only", "GPL-3.0 OR LGPL-2.1"] {
        assert!(!is_allowed(other), "{other}");
    }
}

#[test]
fn sources_are_known() {
    for package in packages() {
        let name = text(&package, "name");
        let own = package["source"].is_null();
        assert!(own || text(&package, "source") == REGISTRY, "{name} comes from elsewhere");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let any = own && text(dependency, "req") == "*" && dependency["path"].is_null();
            assert!(!any, "{name} takes any version of {}", text(dependency, "name"));
        }
    }
}

#[test]
fn no_crate_comes_twice() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        versions.entry(text(&package, "name").to_owned()).or_default().insert(version);
    }
    let twice: Vec<&String> =
        versions.iter().filter(|(_, all)| all.len() > 1).map(|(name, _)| name).collect();
    assert_eq!(twice, TWICE, "crates in more than one version");
}
