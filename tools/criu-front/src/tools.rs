//! The tools of floe, which are beside our own executable.

use anyhow::{Context, Result};
use std::{path::PathBuf, process::Command};

/// What the tools are called.
pub const NAMES: [&str; 8] =
    ["freeze", "dumpmnt", "dumpfs", "aufsfix", "dumpmem", "imgpack", "restore", "criu"];

/// A tool, by its name.
pub fn tool(name: &str) -> Result<Command> {
    Ok(Command::new(directory()?.join(name)))
}

/// Our own executable.
pub fn own() -> Result<PathBuf> {
    std::env::current_exe().context("unable to find our own executable")
}

fn directory() -> Result<PathBuf> {
    let own = own()?;
    Ok(own.parent().context("our executable is in no directory")?.to_owned())
}
