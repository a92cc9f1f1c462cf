//! Turns branch paths of union file systems into the paths that processes see. See doc/aufsfix.md.
#![forbid(unsafe_code)]

mod content;
mod explain;
mod fix;
mod sources;
mod space;
mod used;
mod view;

use anyhow::{Context, Result};
use clap::Parser;
use sources::Sources;
use std::{path::PathBuf, process::ExitCode};

/// Rewrites references into union file system branches: stdin to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Print every rewrite and why, in the place of a stream. Where --proc holds recordings, all of their references
    /// are shown, and no stream is read.
    #[arg(long)]
    explain: bool,
    /// Where AUFS tells its branches, or a copy of that.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/aufs")]
    sysfs: PathBuf,
    /// Where processes are described, or a copy of that, or a directory with the files of one process.
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    proc: PathBuf,
    /// Branches of AUFS mounts that cannot be seen from here: `PATH=PERMISSION`, a line each, topmost first; below a
    /// line `POINT:` those of the mount there.
    #[arg(long, value_name = "FILE")]
    branches: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli: Cli = floe_toolkit::arguments();
    floe_toolkit::main("aufsfix", || run(cli))
}

fn run(cli: Cli) -> Result<()> {
    let list = |path: PathBuf| {
        let text =
            std::fs::read(&path).with_context(|| format!("unable to read {}", path.display()))?;
        anyhow::Ok(floe_unions::Given::parse(&text))
    };
    let branches = cli.branches.map(list).transpose()?;
    let sources = Sources { sysfs: cli.sysfs, proc: cli.proc, branches };
    if !cli.explain {
        return floe_toolkit::filter("aufsfix", &mut fix::AufsFix::new(sources));
    }
    match sources.recordings() {
        recordings if recordings.is_empty() => explain::stream(sources),
        recordings => explain::recordings(&sources, &recordings),
    }
}
