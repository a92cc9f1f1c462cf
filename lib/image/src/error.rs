//! What can go wrong with an image.

use std::{fmt, io, path::Path};

/// Result of work on an image.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An image that cannot be read or written.
#[derive(Debug)]
pub enum Error {
    /// The stream inside of it.
    Stream(floe_stream::Error),
    /// The file.
    File {
        /// What could not be done, behind "unable to".
        doing: String,
        /// Why.
        cause: io::Error,
    },
}

impl Error {
    pub(crate) fn file(verb: &str, path: &Path, cause: io::Error) -> Self {
        Self::File { doing: format!("{verb} {}", path.display()), cause }
    }

    pub(crate) fn damaged(at: u64, problem: &str) -> Self {
        Self::Stream(floe_stream::Error::damaged(at, problem))
    }
}

impl From<floe_stream::Error> for Error {
    fn from(error: floe_stream::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.into())
    }
}

impl From<floe_worker_pool::Stopped> for Error {
    fn from(error: floe_worker_pool::Stopped) -> Self {
        io::Error::other(error).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::File { doing, cause } => write!(f, "unable to {doing}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stream(error) => Some(error),
            Self::File { cause, .. } => Some(cause),
        }
    }
}
