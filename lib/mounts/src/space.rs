//! Standing in a mount namespace.

use crate::{Mount, attributes::shown, mounts};
use floe_sys::{Error, MountStatus, Result, all_mounts, clone_tree, stat_on_mount};
use nix::{
    fcntl::{OFlag, open, openat},
    mount::{MntFlags, MsFlags, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
    unistd::gettid,
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Does some work in a thread of its own.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    floe_sys::apart("work in a mount namespace", work)
}

/// Does some work in a thread of its own, which stands at the root of a mount namespace.
///
/// # Errors
/// Those of setns(2), and those of the work.
pub fn inside<T: Send>(
    space: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    apart(|| {
        enter(space)?;
        work()
    })
}

/// The calling thread enters a mount namespace, for good.
fn enter(space: BorrowedFd<'_>) -> Result<()> {
    let fail = |e| Error::new("enter a mount namespace", e);
    unshare(CloneFlags::CLONE_FS).map_err(fail)?;
    setns(space, CloneFlags::CLONE_NEWNS).map_err(fail)
}

/// What a thread sees, by our own /proc: what the namespace that it stands in has there may be anything.
pub struct View(OwnedFd);

impl View {
    /// Of the calling thread.
    pub(crate) fn own() -> Result<Self> {
        let path = format!("/proc/self/task/{}", gettid());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(path.as_str(), flags, Mode::empty());
        dir.map(Self).map_err(|e| Error::new(format!("open {path}"), e))
    }

    /// Everything that is mounted below its root now.
    ///
    /// # Errors
    /// Those of reading /proc.
    pub fn mounts(&self) -> Result<Vec<Mount>> {
        let fail = |e| Error::new("read mountinfo", e);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.0, "mountinfo", flags, Mode::empty());
        let (mut text, mut file) = (Vec::new(), File::from(file.map_err(|e| fail(e.into()))?));
        file.read_to_end(&mut text).map_err(fail)?;
        Ok(mounts(&text))
    }
}

/// Does some work in a copy of a mount namespace, in which nothing that is mounted or unmounted is noticed elsewhere.
///
/// # Errors
/// Those of making it, and those of the work.
pub fn copied<T: Send>(
    space: BorrowedFd<'_>,
    work: impl FnOnce(&View) -> Result<T> + Send,
) -> Result<T> {
    apart(|| {
        let view = View::own()?;
        enter(space)?;
        floe_sys::private_mounts()?;
        work(&view)
    })
}

/// A detached copy of a mount that something may cover, which is taken away: the calling thread must stand in a copy of the namespace
/// that nobody else has.
///
/// # Errors
/// Where nothing leads to it.
pub fn uncovered(mount: &Mount, view: &View) -> Result<OwnedFd> {
    let doing = || {
        let shown = String::from_utf8_lossy(&mount.point);
        format!("look below what is mounted over {shown}")
    };
    let hidden = || Error::because(doing(), "it cannot be reached");
    loop {
        let all = view.mounts()?;
        let is_it =
            |it: &&Mount| (it.dev, &it.root, &it.point) == (mount.dev, &mount.root, &mount.point);
        let wanted = all.iter().find(is_it).ok_or_else(hidden)?;
        if let Some(place) = place(wanted) {
            return clone_tree(place.as_fd());
        }
        // What a path leads to that is not above it is what covers it.
        let mut above = BTreeSet::from([wanted.id]);
        let mut next = wanted.parent;
        while let Some(on) = all.iter().find(|it| it.id == next && above.insert(it.id)) {
            next = on.parent;
        }
        let path = Path::new(OsStr::from_bytes(&mount.point));
        let cover = path.ancestors().find_map(|path| {
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let there = open(path, flags, Mode::empty()).ok()?;
            let (_, id) = stat_on_mount(there.as_fd(), b"").ok().flatten()?;
            all.iter().find(|it| u64::from(it.id) == id && !above.contains(&it.id))
        });
        let point = OsStr::from_bytes(&cover.ok_or_else(hidden)?.point);
        umount2(point, MntFlags::MNT_DETACH).map_err(|e| Error::new(doing(), e))?;
    }
}

/// Everything that is mounted in a namespace, below its root.
///
/// # Errors
/// Those of setns(2), and of reading /proc.
pub fn all_of(space: BorrowedFd<'_>) -> Result<Vec<Mount>> {
    // Of namespaces the kernel shows only there which ones are mounted.
    let told = told(space).ok().flatten();
    match told.filter(|all| all.iter().all(|it| it.fs_type != b"nsfs")) {
        Some(all) => Ok(all),
        None => seen_from(space),
    }
}

/// By statmount(2), where this kernel has it. From elsewhere the kernel takes the first mount on the root of a namespace for its
/// root, which is another one behind pivot_root(2).
fn told(space: BorrowedFd<'_>) -> Result<Option<Vec<Mount>>> {
    apart(|| {
        enter(space)?;
        let Some(all) = all_mounts(space)? else { return Ok(None) };
        Ok(all.into_iter().map(mount_of).collect())
    })
}

/// By mountinfo, from the root of the namespace.
fn seen_from(space: BorrowedFd<'_>) -> Result<Vec<Mount>> {
    apart(|| {
        let view = View::own()?;
        enter(space)?;
        view.mounts()
    })
}

/// Options of a super block that mountinfo shows by flags of it (SB_*).
const FLAGS: [(u32, &[u8]); 4] =
    [(16, b",sync"), (128, b",dirsync"), (64, b",mand"), (1 << 25, b",lazytime")];

/// What statmount(2) tells, as mountinfo shows it.
fn mount_of(it: MountStatus) -> Option<Mount> {
    let group = |number: u64| u32::try_from(number).ok().filter(|number| *number != 0);
    let mut options = if it.sb_flags & 1 != 0 { b"ro".to_vec() } else { b"rw".to_vec() };
    for (_, name) in FLAGS.iter().filter(|(bit, _)| it.sb_flags & bit != 0) {
        options.extend(*name);
    }
    if !it.mnt_opts.is_empty() {
        options.push(b',');
        options.extend(&it.mnt_opts);
    }
    Some(Mount {
        id: it.mnt_id_old,
        parent: it.mnt_parent_id_old,
        dev: it.dev,
        root: it.mnt_root,
        point: it.mnt_point,
        flags: shown(it.mnt_attr)?,
        peers: group(it.mnt_peer_group),
        master: group(it.mnt_master),
        unbindable: it.mnt_propagation & MsFlags::MS_UNBINDABLE.bits() != 0,
        fs_type: it.fs_type,
        source: it.sb_source,
        options,
    })
}

/// Opens the place of a mount of our own namespace, as a path only, where that leads to it.
pub fn place(mount: &Mount) -> Option<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let place = open(OsStr::from_bytes(&mount.point), flags, Mode::empty()).ok()?;
    let (_, found) = stat_on_mount(place.as_fd(), b"").ok().flatten()?;
    (found == u64::from(mount.id)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_tell_the_same() {
        let own = File::open("/proc/self/ns/mnt").unwrap();
        let by_id = |mut all: Vec<Mount>| {
            all.sort_by_key(|it| it.id);
            all
        };
        // A container may not let anybody enter its own namespace again.
        let Ok(seen) = seen_from(own.as_fd()).map(by_id) else { return };
        let Ok(Some(told)) = told(own.as_fd()).map(|all| all.map(by_id)) else { return };
        let plain = |it: &Mount| Mount { root: Vec::new(), ..it.clone() };
        let of_kernel = |it: &Mount| it.fs_type.starts_with(b"cgroup") || it.fs_type == b"nsfs";
        for (seen, told) in seen.iter().zip(&told) {
            // Some file systems have names of their own for what is mounted.
            if of_kernel(seen) {
                assert_eq!(plain(seen), plain(told));
            } else {
                assert_eq!(seen, told);
            }
        }
        assert_eq!(seen.len(), told.len());
    }
}
