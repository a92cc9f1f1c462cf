//! The one exit-code table and the one error sentence.

use floe_records::Refusals;
use std::io::Write;
use std::process::ExitCode;

/// Exit codes, the same for every tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something cannot be captured or recreated; the target was left untouched.
    Refused = 3,
    /// The stream or image is damaged.
    Damaged = 4,
    /// A privilege is missing.
    NotPermitted = 5,
}

/// As an error: a command that a tool ran ended with this status, which becomes the tool's own.
#[derive(Debug)]
pub struct Status(pub u8);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.0)
    }
}

impl std::error::Error for Status {}

/// Reads the command line; help goes to stdout, mistakes end with [`Exit::Usage`].
pub fn parse<T: clap::Parser>() -> T {
    T::parse()
}

/// Runs a tool: `work` returns the exit status, an error becomes a sentence and its code.
pub fn main(tool: &str, work: impl FnOnce() -> anyhow::Result<u8>) -> ExitCode {
    match work() {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is::<Status>() => {
            ExitCode::from(error.downcast_ref::<Status>().map_or(1, |status| status.0))
        }
        Err(error) => {
            report(tool, &error);
            ExitCode::from(classify(&error) as u8)
        }
    }
}

fn report(tool: &str, error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    let text = match error.downcast_ref::<Refusals>() {
        Some(refusals) => refusals.to_string(),
        None => format!("{error:#}"),
    };
    for line in text.lines() {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(stderr, "{tool}: {line}");
    }
    if classify(error) == Exit::NotPermitted && !text.contains("CAP_") {
        let _ = writeln!(
            stderr,
            "{tool}: this needs CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE (root has them)"
        );
    }
}

fn classify(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<Refusals>() {
            return Exit::Refused;
        }
        if matches!(cause.downcast_ref(), Some(floe_stream::Error::Damaged { .. })) {
            return Exit::Damaged;
        }
        let errno = match cause.downcast_ref::<floe_sys::Error>() {
            Some(error) => error.errno(),
            None => cause.downcast_ref::<std::io::Error>().and_then(|e| e.raw_os_error()),
        };
        if matches!(errno, Some(1 | 13)) {
            return Exit::NotPermitted;
        }
    }
    Exit::Failed
}
