//! Errors of the capture as those that the exit code is chosen by.

use floe_capture::Error;
use floe_toolkit::NotPermitted;

/// The library's error as the one that the exit code is chosen by.
pub(crate) fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::Sys(error) if matches!(error.errno(), Some(libc::EPERM | libc::EACCES)) => {
            anyhow::Error::new(NotPermitted("CAP_SYS_PTRACE")).context(error)
        }
        Error::Sys(error) => error.into(),
        Error::Refused(refusals) => refusals.into(),
    }
}
