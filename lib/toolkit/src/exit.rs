//! Exit codes and the sentence on standard error, in one place for every tool.

use floe_records::Refusals;
use std::{fmt, io, process::ExitCode};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// The code of a refusal.
pub const REFUSED: u8 = 3;
const DAMAGED: u8 = 4;
const NOT_PERMITTED: u8 = 5;

/// Ends the tool with this status and without a word: a wrapper returns its command's own status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit status {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// The tool was called in a way that cannot work. Exit code 2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A capability is missing. Exit code 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotPermitted(
    /// Its name, `CAP_SYS_PTRACE`.
    pub &'static str,
);

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not permitted: needs {}", self.0)
    }
}

impl std::error::Error for NotPermitted {}

/// Runs a tool: says what went wrong and turns it into the exit code.
pub fn main(tool: &str, body: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    // With SIGCHLD ignored, which a parent may leave us with, no tool could wait for its children.
    let ready = floe_sys::default_action(nix::sys::signal::Signal::SIGCHLD as i32);
    let Err(error) = ready.map_err(Into::into).and_then(|()| body()) else {
        return ExitCode::SUCCESS;
    };
    let (code, text) = judge(&error);
    for line in text.lines() {
        eprintln!("{tool}: {line}");
    }
    ExitCode::from(code)
}

/// The exit code of a tool that fails with this error (FORMAT.md and the manuals), never 0.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    // A wrapped command that has succeeded is no error, but an Abort of 0 would be none either.
    judge(error).0.max(FAILED)
}

/// The exit code of an error, and its sentence, a line for each refusal.
fn judge(error: &anyhow::Error) -> (u8, String) {
    for cause in error.chain() {
        if let Some(exit) = cause.downcast_ref::<Exit>() {
            return (exit.0, String::new());
        }
        if let Some(refusals) = cause.downcast_ref::<Refusals>() {
            return (REFUSED, refusals.to_string());
        }
        if cause.is::<Usage>() {
            return (USAGE, sentence(error));
        }
        match cause.downcast_ref() {
            Some(floe_stream::Error::Damaged { .. }) => return (DAMAGED, sentence(error)),
            // The tool that failed has reported it.
            Some(floe_stream::Error::Aborted(code)) => return (*code, String::new()),
            Some(floe_stream::Error::Io(_)) | None => {}
        }
        if cause.is::<NotPermitted>() {
            return (NOT_PERMITTED, sentence(error));
        }
        if let Some(needs) = errno(cause).and_then(capability) {
            let sentence = sentence(error);
            return (NOT_PERMITTED, format!("{sentence} (needs {needs})"));
        }
    }
    (FAILED, sentence(error))
}

/// The causes in one line; one that its effect has already told is not told again.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<i32> {
    if let Some(error) = cause.downcast_ref::<floe_sys::Error>() {
        return error.errno();
    }
    if let Some(error) = cause.downcast_ref::<nix::Error>() {
        return Some(*error as i32);
    }
    cause.downcast_ref::<io::Error>()?.raw_os_error()
}

/// Names the capabilities that would have helped: those of the usual ones that are not effective here. `None` where we
/// have them all: then the cause is another one.
fn capability(errno: i32) -> Option<String> {
    if errno != nix::Error::EPERM as i32 && errno != nix::Error::EACCES as i32 {
        return None;
    }
    // Where they cannot be read, nothing can be said of them.
    missing(floe_sys::effective_capabilities().ok()?)
}

fn missing(effective: u64) -> Option<String> {
    const USUAL: [(u32, &str); 4] = [
        (19, "CAP_SYS_PTRACE"),
        (21, "CAP_SYS_ADMIN"),
        (40, "CAP_CHECKPOINT_RESTORE"),
        (1, "CAP_DAC_OVERRIDE"),
    ];
    let missing: Vec<&str> =
        USUAL.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::Finding;

    fn code(error: impl Into<anyhow::Error>) -> u8 {
        judge(&error.into()).0
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        let refusal = Finding::about("fd 5", "file.camera", "is a camera");
        let damaged = floe_stream::Error::Damaged { at: 3, problem: "torn".into() };
        assert_eq!(code(anyhow::anyhow!("oops")), 1);
        assert_eq!(code(Usage("no".into())), 2);
        assert_eq!(code(Refusals(vec![refusal])), 3);
        assert_eq!(code(anyhow::Error::from(damaged).context("unable to read")), 4);
        // A process with every capability is told by errno alone.
        let denied = if capability(1).is_some() { 5 } else { 1 };
        assert_eq!(code(floe_sys::Error::new("seize", io::Error::from_raw_os_error(1))), denied);
        assert_eq!(code(io::Error::from_raw_os_error(13)), denied);
        assert_eq!(missing(!(1 << 19)).as_deref(), Some("CAP_SYS_PTRACE"));
        assert_eq!(missing(u64::MAX), None);
        assert_eq!(code(floe_stream::Error::Io(io::Error::from_raw_os_error(32))), 1);
        assert_eq!(judge(&Exit(7).into()), (7, String::new()));
        let aborted = anyhow::Error::from(floe_stream::Error::Aborted(3)).context("unable to read");
        assert_eq!(judge(&aborted), (3, String::new()));
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = floe_stream::Error::Io(io::Error::from_raw_os_error(32));
        assert_eq!(
            sentence(&error.into()),
            "unable to transfer the stream: Broken pipe (os error 32)"
        );
    }
}
