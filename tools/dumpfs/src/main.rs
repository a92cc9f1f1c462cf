//! Adds descriptors and files to the stream. See doc/dumpfs.md.
#![forbid(unsafe_code)]

mod dump;

use clap::Parser;
use floe_records::PathPattern;
use std::process::ExitCode;

/// Adds what the descriptors and mappings of a held process tree lead to: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Capture established TCP connections as closed ones, whatever freeze was told.
    #[arg(long)]
    close_tcp: bool,
    /// Take the contents of files with names into the image that the tree has open, maps or runs: PATTERN is that of their
    /// paths, for all of them /**. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    carry: Vec<PathPattern>,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("dumpfs", || {
        floe_capture::origin::note_namespaces()?;
        floe_toolkit::filter("dumpfs", &mut dump::DumpFs::new(cli.close_tcp, cli.carry))
    })
}
