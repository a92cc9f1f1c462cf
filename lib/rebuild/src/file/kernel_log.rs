//! /dev/kmsg, open for reading: behind the message that was read last. After a reboot it is another log, nothing of which has been
//! read.

use crate::{
    factory::{Factory, with_status},
    named::flags,
    resource::ForFile,
};
use floe_records::{KernelLog, OpenFile};
use floe_sys::{Error, Result, read_kernel_log};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::{SFlag, makedev},
    unistd::{Whence, lseek},
};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for KernelLog {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let found = make.stands.found(open.pid, &self.name, SFlag::S_IFCHR)?;
        if found.stat.st_rdev != makedev(1, 11) {
            let path = &self.name.path;
            return Err(Error::because(format!("open {path}"), "it is another device now"));
        }
        let how = flags(open) | OFlag::O_NONBLOCK;
        let log = make.stands.open(open.pid, &self.name, &found, how)?;
        if make.stands.same.is_same_boot() {
            let last = read_kernel_log(log.as_fd(), Some(self.last));
            let last = last.map_err(|e| Error::new("read the log of the kernel", e))?;
            // What came next has been overwritten: it goes on at the first that is there.
            if last.is_some_and(|last| last > self.last) {
                lseek(&log, 0, Whence::SeekSet).map_err(|e| Error::new("seek", e))?;
            }
        }
        // Whether it waits is a flag of the description from here on.
        fcntl(&log, FcntlArg::F_SETFL(OFlag::empty()))
            .map_err(|e| Error::new("set the flags of /dev/kmsg", e))?;
        with_status(log, open)
    }
}
