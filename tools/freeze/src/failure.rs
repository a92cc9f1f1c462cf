//! Errors of the capture as those that the exit code is chosen by.

use floe_capture::Error;
use floe_toolkit::NotPermitted;

/// The library's error as the one that the exit code is chosen by.
pub(crate) fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::NotPermitted(capability, error) => {
            anyhow::Error::new(NotPermitted(capability)).context(error)
        }
        Error::Sys(error) => error.into(),
        Error::Refused(refusals) => refusals.into(),
    }
}
