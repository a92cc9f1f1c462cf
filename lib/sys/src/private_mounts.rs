//! Mounts that nobody else has.

use crate::{Error, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

const NONE: Option<&str> = None;

/// The calling thread gets a copy of its mount namespace, in which nothing that is mounted or unmounted is noticed elsewhere.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn private_mounts() -> Result<()> {
    let fail = |e| Error::new("make a mount namespace", e);
    unshare(CloneFlags::CLONE_NEWNS).map_err(fail)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(fail)
}

/// Mounts a /proc of the pid namespace that the calling process is in.
///
/// # Errors
/// Those of mount(2).
pub fn mount_proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, NONE)
        .map_err(|e| Error::new("mount /proc", e))
}
