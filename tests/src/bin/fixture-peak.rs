//! `fixture-peak COMMAND...`: runs COMMAND and prints the largest resident size, in KiB, that it or any process it has
//! waited for had, and the seconds of processor time that all of them have used. Exits as COMMAND did.
//!
//! A process takes the peak of the program it was before execve(2) along, so the one that measures must be small itself.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use std::{
    io,
    process::{Command, ExitCode},
    time::Duration,
};

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, "fixture-peak COMMAND...");
    let status = Command::new(args.next().ok_or_else(missing)?).args(args).status()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = (usage.user_time() + usage.system_time()).num_microseconds();
    println!("{} {:.6}", usage.max_rss(), Duration::from_micros(time.unsigned_abs()).as_secs_f64());
    Ok(ExitCode::from(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)))
}
