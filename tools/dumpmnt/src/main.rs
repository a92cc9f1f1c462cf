//! Adds mount namespaces to the stream. See doc/dumpmnt.md.
#![forbid(unsafe_code)]

mod dump;

use clap::Parser;
use std::process::ExitCode;

/// Adds what is mounted in the mount namespaces of a held process tree, and the files of file systems that are in memory there
/// alone: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Let all files of the root of the tree travel in the image, as those in memory do.
    #[arg(long)]
    carry_root: bool,
}

fn main() -> ExitCode {
    let Cli { carry_root } = floe_toolkit::arguments();
    floe_toolkit::main("dumpmnt", || {
        floe_toolkit::filter("dumpmnt", &mut dump::DumpMnt::new(carry_root)?)
    })
}
