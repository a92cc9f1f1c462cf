//! Directories with a name.

use crate::{
    named::{open_as, seek},
    resource::ForFile,
    stand::Stands,
};
use floe_records::{Directory, OpenFile};
use floe_sys::Result;
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for Directory {
    fn open_alone(&self, open: &OpenFile, stands: &Stands<'_>) -> Option<Result<OwnedFd>> {
        let opened = open_as(stands, open, &self.name, SFlag::S_IFDIR);
        Some(opened.and_then(|fd| seek(&fd, open).map(|()| fd)))
    }
}
