//! Adds the memory of the tree to the stream. See doc/dumpmem.md.
#![forbid(unsafe_code)]

mod dump;
mod early;
mod left;
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
    /// Leave large anonymous memory where it is, and write to FILE what that is, for servemem: restore --lazy asks for it over the
    /// way that the stream takes.
    #[arg(long, value_name = "FILE")]
    leave: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("dumpmem", || {
        let lines = floe_toolkit::progress_lines(cli.progress_fd)?;
        let list = cli.leave.as_deref().map(left::List::new).transpose()?;
        floe_toolkit::filter("dumpmem", &mut dump::DumpMem::new(lines, list))
    })
}
