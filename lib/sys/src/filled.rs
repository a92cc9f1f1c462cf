//! Numbers of descriptors that are taken, so that what is opened gets higher ones.

use crate::{Result, close_all, duplicate_from};
use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// All numbers below a limit are in use until this is dropped.
#[derive(Debug)]
pub struct Filled(Vec<OwnedFd>);

impl Drop for Filled {
    fn drop(&mut self) {
        close_all(self.0.drain(..));
    }
}

impl Filled {
    /// Takes those that are free.
    ///
    /// # Errors
    /// Where the process may not have as many (RLIMIT_NOFILE).
    pub fn below(limit: u32) -> Result<Self> {
        let null = File::open("/dev/null").map_err(|e| crate::Error::new("open /dev/null", e))?;
        let mut all = vec![OwnedFd::from(null)];
        while let Some(last) = all.last().filter(|last| (last.as_raw_fd() as u32) < limit) {
            all.push(duplicate_from(last.as_fd(), 0)?);
        }
        // The last one is not below it.
        all.pop();
        Ok(Self(all))
    }
}
