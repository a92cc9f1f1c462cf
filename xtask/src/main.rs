//! `floe-xtask man FILE.md VERSION > FILE.1`: a page of the manual, written for the web, as a page for man(1).
#![forbid(unsafe_code)]

mod page;

use anyhow::{Context, Result, bail};
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floe-xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [task, file, version] = &words[..] else { bail!("usage: floe-xtask man FILE.md VERSION") };
    if task != "man" {
        bail!("unknown task {task}");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("unable to read {file}"))?;
    let name = Path::new(file).file_stem().context("it has no name")?.to_string_lossy();
    print!("{}", page::page(&name, version, &text));
    Ok(())
}
