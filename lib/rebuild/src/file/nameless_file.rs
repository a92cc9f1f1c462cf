//! Descriptions of files without a name.

use crate::{
    factory::{Factory, reopen},
    named::{flags, seek},
    resource::ForFile,
};
use floe_records::{NamelessFile, OpenFile};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for NamelessFile {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let fd = reopen(make.object(self.object)?, flags(open))?;
        seek(&fd, open)?;
        Ok(fd)
    }
}
