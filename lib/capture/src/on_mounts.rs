//! The mounts that a process sees, and standing on them.

use crate::{Result, path::Root};
use floe_proc::Fdinfo;
use floe_sys::Error;
use floe_unions::{Mount, mounts};
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, unshare},
    unistd::fchdir,
};
use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
};

/// All mounts, by paths as we see them. Those that the process sees come first: its own list leaves out what lies above its root.
pub(crate) fn seen_by(pid: u32, root: &Root) -> Result<Vec<Mount>> {
    let mut all = mounts(&floe_proc::read(pid, "mountinfo")?);
    for mount in all.iter_mut().filter(|_| root.path() != b"/") {
        let inner = if mount.point == b"/" { &[][..] } else { &mount.point };
        mount.point = [root.path(), inner].concat();
    }
    let mut seen: BTreeSet<u32> = all.iter().map(|mount| mount.id).collect();
    let own = mounts(&floe_proc::read_at("/proc/self/mountinfo")?);
    all.extend(own.into_iter().filter(|mount| seen.insert(mount.id)));
    Ok(all)
}

/// Where a mount is, unless another one hides it.
pub(crate) fn place(root: &Root, mount: &Mount) -> Result<Option<OwnedFd>> {
    let Ok(place) = root.open(&mount.point, OFlag::O_PATH | OFlag::O_DIRECTORY) else {
        return Ok(None);
    };
    let is_it = Fdinfo::of_own(place.as_fd())?.mnt_id == mount.id;
    Ok(is_it.then_some(place))
}

/// Does some work on each mount, in a thread of its own: a handle is looked up where the working directory is, and a directory
/// that is opened for that would be an event (IN_OPEN) on it.
pub(crate) fn standing_on<'m>(
    root: &Root,
    mounts: impl IntoIterator<Item = &'m Mount> + Send,
    mut work: impl FnMut(&Mount) -> Result<()> + Send,
) -> Result<()> {
    let fail = |e: nix::Error| Error::new("go where a file is", e);
    floe_sys::apart("find a file by its handle", || {
        unshare(CloneFlags::CLONE_FS).map_err(fail)?;
        for mount in mounts {
            let Some(place) = place(root, mount)? else { continue };
            fchdir(place).map_err(fail)?;
            work(mount)?;
        }
        Ok(())
    })
}
