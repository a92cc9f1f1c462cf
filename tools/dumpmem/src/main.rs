//! Adds the memory of the tree to the stream. See doc/dumpmem.md.
#![forbid(unsafe_code)]

mod dump;
mod early;
mod piece;
mod shared;

use clap::Parser;
use std::process::ExitCode;

/// Adds the pages of a held process tree to the stream: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Tell progress as JSON lines to this descriptor.
    #[arg(long, value_name = "FD")]
    progress_fd: Option<i32>,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("dumpmem", || {
        let lines = floe_toolkit::progress_lines(cli.progress_fd)?;
        floe_toolkit::filter("dumpmem", &mut dump::DumpMem::new(lines))
    })
}
