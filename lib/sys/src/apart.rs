//! Work in a thread of its own, which may go where the process does not.

use crate::Error;
use nix::sched::{CloneFlags, setns};
use std::{os::fd::BorrowedFd, thread};

/// Does some work in a thread of its own, and waits for it. What belongs to a thread alone (the namespaces that setns(2) and unshare(2)
/// enter, with CLONE_FS the root and the working directory) is changed for the work, and for nobody else.
///
/// # Errors
/// Those of the work, and where no thread can be started or it has panicked: then it was `doing` this.
pub fn apart<T: Send, E: Send + From<Error>>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work);
        let thread = thread.map_err(|e| Error::new("start a thread", e))?;
        thread.join().map_err(|_| Error::because(doing, "the thread has failed"))?
    })
}

/// The same in a namespace that is open; `kind` is said of it where it cannot be entered.
///
/// # Errors
/// Besides those of the work, those of setns(2).
pub fn apart_in<T: Send, E: Send + From<Error>>(
    space: BorrowedFd<'_>,
    kind: &str,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    apart("work in a namespace", || {
        let fail = |e| Error::new(format!("enter a {kind} namespace"), e);
        setns(space, CloneFlags::empty()).map_err(fail)?;
        work()
    })
}
