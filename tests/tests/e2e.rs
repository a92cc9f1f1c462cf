//! Real programs through the whole pipe. Each scenario is a shell script of `tests/e2e`, run in a pid and a
//! mount namespace of its own, so that scenarios run in parallel and leave nothing behind.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The helpers, then the scenario with its arguments.
const RUN: &str = r#"dir=$1 name=$2; shift 2; . "$dir/lib.sh"; . "$dir/$name.sh""#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// The directory with the tools: the profile directory that this test runs from.
fn tools() -> PathBuf {
    let exe = std::env::current_exe().expect("own path");
    exe.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_path_buf()
}

fn scenario(name: &str, args: &[&str]) {
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
        .args(["bash", "-euo", "pipefail", "-c", RUN, "e2e"])
        .arg(root().join("tests/e2e"))
        .arg(name)
        .args(args)
        .current_dir(dir.path())
        .env("PATH", path)
        .env("FLOE_TOOLS", tools())
        .env("FLOE_FIXTURES", root().join("tests/fixtures"))
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
        $(#[test] fn $name() { scenario(stringify!($name), &[]); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    bash_pipes,
    damaged_image,
    pipe_tree,
    python_threads,
    redis,
    redis_loaded,
    node_http,
    vectors64,
    overlay,
    overlay_odd,
    old_kernel,
    new_pidns,
    forwarded,
    streams,
    ten_times,
    terminal,
    pipeline_orders,
    fault_freeze,
    fault_restore,
    kill_stages,
    refusals,
    sharing,
}

macro_rules! resources {
    ($($name:ident),* $(,)?) => {
        mod resource {
            $(#[test] fn $name() { super::scenario("resource", &[stringify!($name)]); })*
        }
        const RESOURCES: &[&str] = &[$(stringify!($name)),*];
    };
}

resources! {
    descriptors,
    epoll,
    eventfd,
    family,
    fifo,
    identity,
    inet,
    locks,
    memory,
    names,
    nameless,
    order,
    packets,
    removed,
    reserved,
    signalfd,
    signals,
    timerfd,
    timers,
    unix,
    unix_names,
}

/// Scenarios see no kernel threads from their pid namespace.
#[test]
fn kernel_thread() {
    let comm = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if comm.trim() != "kthreadd" {
        let why = "SKIPPED kernel_thread: no kernel thread is visible from this pid namespace\n";
        return std::io::stderr().write_all(why.as_bytes()).expect("stderr");
    }
    for args in [&["--check", "2"][..], &["2", "--", "cat"]] {
        let output =
            Command::new(tools().join("freeze")).args(args).output().expect("freeze starts");
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("pid 2: the process: it is a kernel thread"), "{said}");
    }
}

#[test]
fn every_script_is_a_test() {
    for entry in std::fs::read_dir(root().join("tests/e2e")).expect("tests/e2e") {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        assert!(
            ["lib", "resource"].contains(&stem) || NAMES.contains(&stem),
            "{} is not listed",
            path.display()
        );
    }
    for entry in std::fs::read_dir(root().join("tests/fixtures")).expect("tests/fixtures") {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let known = RESOURCES.contains(&stem) || ["fixture", "__pycache__"].contains(&stem);
        assert!(known, "{} is not listed", path.display());
    }
}
