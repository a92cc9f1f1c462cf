//! pidfd_open(2), when all processes exist. One whose process has been waited for is the handle of a process that is started
//! to end at once, in the same way.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{OpenFile, Pidfd, PidfdTarget, Tree};
use floe_sys::{Error, Result, pidfd_of_ended, pidfd_open, pidfd_open_thread};
use std::{fs::File, os::fd::OwnedFd};

impl ForFile for Pidfd {
    /// Keeps its place.
    fn open(&self, _: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let fail = |e| Error::new("keep the place of a pidfd", e);
        File::open("/dev/null").map(OwnedFd::from).map_err(fail)
    }

    fn late(&self, tree: &Tree) -> Result<OwnedFd> {
        let none = || Error::because("open a pidfd", "it has no description");
        let open = tree.get::<OpenFile>(self.file).ok_or_else(none)?;
        let thread = open.flags & libc::O_EXCL as u32 != 0;
        let fd = match self.target {
            PidfdTarget::Process(pid) if thread => pidfd_open_thread(pid.0 as i32),
            PidfdTarget::Process(pid) => pidfd_open(pid.0 as i32),
            PidfdTarget::Ended(status) => pidfd_of_ended(status.unwrap_or(0), thread),
        };
        with_status(fd?, open)
    }
}
