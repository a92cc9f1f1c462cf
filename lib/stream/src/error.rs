//! What can go wrong with a stream.

use std::{fmt, io};

/// Result of reading or writing a stream.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stream that cannot be read or written.
#[derive(Debug)]
pub enum Error {
    /// The bytes are not a whole, undamaged stream. Exit code 4.
    Damaged {
        /// Byte offset from the start of the stream.
        at: u64,
        /// What is wrong there.
        problem: String,
    },
    /// The tool that wrote the stream has failed, has said why, and has left this exit code instead of End.
    Aborted(u8),
    /// The kernel failed to read or write.
    Io(io::Error),
}

impl Error {
    /// Damage at this offset.
    pub fn damaged(at: u64, problem: impl Into<String>) -> Self {
        Self::Damaged { at, problem: problem.into() }
    }
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at, problem } => write!(f, "damaged stream at byte {at}: {problem}"),
            Self::Aborted(code) => {
                write!(f, "the tool that wrote the stream has failed with exit code {code}")
            }
            Self::Io(cause) => write!(f, "unable to transfer the stream: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            Self::Damaged { .. } | Self::Aborted(_) => None,
        }
    }
}
