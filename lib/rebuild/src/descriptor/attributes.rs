//! Owner, permissions and times of pipes and sockets, when all sockets are bound: those that share a port must have one owner
//! meanwhile.

use crate::resource::ForDescriptor;
use floe_records::Attributes;
use floe_sys::{Error, Result};
use nix::{
    sys::{
        stat::{Mode, fchmod, fstat, futimens},
        time::TimeSpec,
    },
    unistd::{Gid, Uid, fchown},
};
use std::os::fd::OwnedFd;

impl ForDescriptor for Attributes {
    /// What somebody without privileges may not set is told.
    fn opened(&self, fd: &OwnedFd, note: &mut dyn FnMut(String)) -> Result<()> {
        if let Some([accessed, changed]) = self.times {
            let time = |(sec, nsec): (i64, u32)| TimeSpec::new(sec, nsec.into());
            futimens(fd, &time(accessed), &time(changed))
                .map_err(|e| Error::new("set the times of a pipe", e))?;
        }
        let now = fstat(fd).map_err(|e| Error::new("read its owner", e))?;
        let owner = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        if (now.st_uid, now.st_gid) != (self.uid, self.gid)
            && let Err(e) = fchown(fd, owner.0, owner.1)
        {
            note(format!("its owner was {}:{}, and cannot be set: {e}", self.uid, self.gid));
        }
        if now.st_mode & 0o7777 != self.mode
            && let Err(e) = fchmod(fd, Mode::from_bits_truncate(self.mode))
        {
            note(format!("its permissions were {:o}, and cannot be set: {e}", self.mode));
        }
        Ok(())
    }
}
