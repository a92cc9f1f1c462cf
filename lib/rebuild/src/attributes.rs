//! Owner, permissions, extended attributes and times of files that restore makes.

use floe_records::Bytes;
use floe_sys::{Result, set_attribute, set_times};
use nix::{
    sys::stat::{Mode, fchmod},
    unistd::{Gid, Uid, fchown},
};
use std::os::fd::{AsFd, OwnedFd};

/// Owner, then permissions, of which a change of the owner takes some away.
pub(crate) fn set_owner(fd: &OwnedFd, (uid, gid): (u32, u32), mode: u32) -> nix::Result<()> {
    fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(fd, Mode::from_bits_truncate(mode))
}

/// Extended attributes, then times. It comes last: each change of the content or of the owner changes or removes some of them.
pub(crate) fn set_last(
    fd: &OwnedFd,
    attributes: &[(Bytes, Bytes)],
    times: [(i64, u32); 2],
) -> Result<()> {
    for (name, value) in attributes {
        set_attribute(fd.as_fd(), &name.0, &value.0)?;
    }
    set_times(fd, times)
}
