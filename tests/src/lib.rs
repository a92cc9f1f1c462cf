//! Fixtures and end-to-end tests.

pub mod made;
pub mod tree;

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// A tool of the profile that the calling test was built for.
///
/// # Panics
/// Where the test was not started by cargo.
pub fn tool(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("own path");
    exe.ancestors().nth(2).expect("target/<profile>/deps/<test>").join(name)
}

/// Runs a tool to its end with `input` on standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run(name: &str, args: &[&str], input: &[u8]) -> Output {
    run_to(Stdio::piped(), name, args, input)
}

/// As [`run`], with another standard output.
///
/// # Panics
/// When it cannot be started.
pub fn run_to(stdout: Stdio, name: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(tool(name))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    // A tool that has seen enough does not read the rest.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the tool ends");
    writer.join().expect("the writer ends");
    output
}
