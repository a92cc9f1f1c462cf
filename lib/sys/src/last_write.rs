//! A process that writes to files if we die before we have done so ourselves.

use crate::{
    Error, Result,
    watcher::{Watcher, close_others, leave_group},
};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A child, in a session of its own, that writes to the files that it was given, unless it is dismissed.
#[derive(Debug)]
pub struct LastWrite(Watcher);

impl LastWrite {
    /// Starts one for these files, open for writing, each with what is written by a single call. It blocks all signals that can
    /// be blocked.
    ///
    /// # Errors
    /// Those of pipe(2) and fork(2).
    pub fn to(files: &[(OwnedFd, &'static [u8])]) -> Result<Self> {
        // Memory is there before the fork, also for the one that comes to it.
        let mut kept: Vec<RawFd> = Vec::with_capacity(files.len() + 1);
        kept.extend(files.iter().map(|(fd, _)| fd.as_raw_fd()));
        let begin = |hear| {
            leave_group();
            kept.push(hear);
            close_others(&mut kept);
        };
        let last = || {
            for (fd, text) in files {
                // SAFETY: the kernel reads a constant of this length.
                unsafe { libc::write(fd.as_raw_fd(), text.as_ptr().cast(), text.len()) };
            }
        };
        let fail = |e| Error::new("start a process that watches over us", e);
        Watcher::start(begin, last).map(Self).map_err(fail)
    }

    /// Ends it; it writes nothing.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn dismiss(self) -> Result<()> {
        self.0.dismiss().map_err(|e| Error::new("dismiss a process that watches over us", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, fs::File};

    #[test]
    fn it_writes_unless_dismissed() {
        let path = std::env::temp_dir().join(format!("floe-last-write-{}", std::process::id()));
        let file = || (OwnedFd::from(File::create(&path).unwrap()), &b"last"[..]);
        LastWrite::to(&[file()]).unwrap().dismiss().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop(LastWrite::to(&[file(), file()]).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"last");
        fs::remove_file(path).unwrap();
    }
}
