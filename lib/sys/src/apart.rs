//! Work in a thread of its own, which may go where the process does not.

use crate::Error;
use std::thread;

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
