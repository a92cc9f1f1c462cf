//! Adds descriptors and files to the stream. See doc/dumpfs.md.
#![forbid(unsafe_code)]

mod dump;

use clap::Parser;
use floe_capture::files::SocketRules;
use std::process::ExitCode;

/// Adds what the descriptors and mappings of a held process tree lead to: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Capture established TCP connections as closed ones (freeze wants the same option).
    #[arg(long)]
    close_tcp: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    floe_toolkit::main("dumpfs", || {
        let rules = SocketRules { close_tcp: cli.close_tcp };
        floe_toolkit::filter("dumpfs", &mut dump::DumpFs::new(rules))
    })
}
