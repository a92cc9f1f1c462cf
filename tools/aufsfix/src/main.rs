//! Turns branch paths of union file systems into the paths that processes see. See doc/aufsfix.md.
#![forbid(unsafe_code)]

mod fix;

use clap::Parser;
use std::process::ExitCode;

/// Rewrites references into union file system branches: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {}

fn main() -> ExitCode {
    let Cli {} = Cli::parse();
    floe_toolkit::main("aufsfix", || floe_toolkit::filter("aufsfix", &mut fix::AufsFix))
}
