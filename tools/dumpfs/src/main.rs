//! Adds descriptors and files to the stream. See doc/dumpfs.md.
#![forbid(unsafe_code)]

mod dump;

use clap::Parser;
use std::process::ExitCode;

/// Adds what the descriptors and mappings of a held process tree lead to: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Capture established TCP connections as closed ones, whatever freeze was told.
    #[arg(long)]
    close_tcp: bool,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("dumpfs", || {
        floe_toolkit::filter("dumpfs", &mut dump::DumpFs::new(cli.close_tcp))
    })
}
