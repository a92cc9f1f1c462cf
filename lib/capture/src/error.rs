//! Why a tree cannot be captured.

use floe_records::{Refusal, Refusals};
use std::fmt;

/// Result of capturing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tree cannot be captured.
#[derive(Debug)]
pub enum Error {
    /// The kernel said no.
    Sys(floe_sys::Error),
    /// The kernel said no to a process without this capability.
    NotPermitted(&'static str, floe_sys::Error),
    /// Something in the tree cannot be captured; nothing was changed.
    Refused(Refusals),
}

impl Error {
    /// A single refusal.
    pub(crate) fn refuse(refusal: Refusal) -> Self {
        Self::Refused(Refusals(vec![refusal]))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Sys(error) | Error::NotPermitted(_, error) => error.fmt(f),
            Error::Refused(refusals) => refusals.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Sys(error) | Error::NotPermitted(_, error) => Some(error),
            Error::Refused(refusals) => Some(refusals),
        }
    }
}

impl From<floe_sys::Error> for Error {
    fn from(error: floe_sys::Error) -> Self {
        Error::Sys(error)
    }
}

impl From<Refusals> for Error {
    fn from(refusals: Refusals) -> Self {
        Error::Refused(refusals)
    }
}
