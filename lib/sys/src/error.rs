//! The one error sentence: `pid 12: unable to <verb> <object>: <cause>`.

use std::{fmt, io};

/// A failed piece of work on a task or the system.
#[derive(Debug)]
pub struct Error {
    pid: Option<u32>,
    doing: String,
    cause: io::Error,
}

/// Result of host-side kernel work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `doing` completes "unable to", for example `"read /proc/12/maps"`.
    pub fn new(doing: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Self { pid: None, doing: doing.into(), cause: cause.into() }
    }

    /// An error whose cause is a sentence rather than an errno.
    pub fn because(doing: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(doing, io::Error::other(cause.into()))
    }

    /// Names the task that was worked on.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// The cause, for callers that act on an errno.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// The errno behind the failure, if the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        self.cause.raw_os_error()
    }

    /// The task has ended (ESRCH): it was reaped, or is a zombie whose threads can no longer be traced.
    pub fn is_gone(&self) -> bool {
        self.errno() == Some(libc::ESRCH)
    }

    /// A path is longer than the kernel takes or shows one (ENAMETOOLONG).
    pub fn is_long_path(&self) -> bool {
        self.errno() == Some(libc::ENAMETOOLONG)
    }

    /// The kernel does not open a file again that it still has (ESTALE): AUFS does so with one that was removed or
    /// renamed over.
    pub fn is_stale(&self) -> bool {
        self.errno() == Some(libc::ESTALE)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "pid {pid}: ")?;
        }
        write!(f, "unable to {}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for Error {}
