//! `fixture-peak COMMAND...`: runs COMMAND and prints the largest resident size, in KiB, that it or any process it has
//! waited for had. Exits as COMMAND did.
//!
//! A process takes the peak of the program it was before execve(2) along, so the one that measures must be small itself.

use nix::sys::resource::{UsageWho, getrusage};
use std::{
    io,
    process::{Command, ExitCode},
};

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, "fixture-peak COMMAND...");
    let status = Command::new(args.next().ok_or_else(missing)?).args(args).status()?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)))
}
