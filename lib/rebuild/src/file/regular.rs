//! Regular files with a name.

use crate::{
    factory::Factory,
    named::{open_as, seek},
    resource::ForFile,
};
use floe_records::{OpenFile, Regular};
use floe_sys::{Error, Result};
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for Regular {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (fd, path) = (open_as(make, open, &self.name, SFlag::S_IFREG)?, &self.name.path);
        let now = fstat(fd.as_fd()).map_err(|e| Error::new(format!("read {path}"), e))?.st_size;
        // Logs grow; one that was cut off is another file.
        if (now as u64) < self.size.min(open.pos) {
            let what = format!("it had {} bytes and has {now} now", self.size);
            return Err(Error::because(format!("open {path}"), what));
        }
        seek(&fd, open)?;
        Ok(fd)
    }
}
