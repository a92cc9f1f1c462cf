//! Real programs through the whole pipe. Each scenario is a shell script of `tests/e2e`, run in a pid and a
//! mount namespace of its own, so that scenarios run in parallel and leave nothing behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// The directory with the tools: the profile directory that this test runs from.
fn tools() -> PathBuf {
    let exe = std::env::current_exe().expect("own path");
    exe.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_path_buf()
}

fn scenario(name: &str) {
    assert!(nix::unistd::geteuid().is_root(), "the suite needs root: run it as root");
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = format!(
        "{}:{}:{}",
        tools().display(),
        root().join("scripts").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            "240",
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--mount-proc",
        ])
        .args(["bash", "-euo", "pipefail", "-c", ". \"$1/lib.sh\"; . \"$1/$2.sh\"", "e2e"])
        .arg(root().join("tests/e2e"))
        .arg(name)
        .current_dir(dir.path())
        .env("PATH", path)
        .env("FLOE_TOOLS", tools())
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1) starts");
    assert!(
        output.status.success(),
        "{name}: {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { scenario(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    bash_pipes,
    pipe_tree,
    python_threads,
    redis,
    redis_loaded,
    node_http,
    vectors64,
    ten_times,
    pipeline_orders,
    kill_stages,
    refusals,
}

#[test]
fn every_script_is_a_test() {
    for entry in std::fs::read_dir(root().join("tests/e2e")).expect("tests/e2e") {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        assert!(stem == "lib" || NAMES.contains(&stem), "{} is not listed", path.display());
    }
}
