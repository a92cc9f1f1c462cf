//! inotify(7). Each watch is added under its number, which the kernel is told beforehand.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{Inotify, InotifyWatch, ObjectId, OpenFile};
use floe_sys::{
    Error, Result, inotify, inotify_add_watch, inotify_rm_watch, inotify_set_next, memfd_create,
    pipe_queued,
};
use nix::{fcntl::OFlag, unistd::read};
use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::File,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Bytes of a report without a name: `struct inotify_event`.
const REPORT: usize = 16;

impl ForFile for Inotify {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let all = inotify()?;
        for watch in self.watches.iter().filter(|watch| !watch.name.deleted) {
            let file = watched(self, watch, make)?;
            add(&all, watch, &file)?;
        }
        if self.overflow {
            overflow(&all)?;
        }
        // It was made so that it never waits; the flag is that of the description from here on.
        let none = nix::fcntl::FcntlArg::F_SETFL(OFlag::empty());
        nix::fcntl::fcntl(&all, none).map_err(|e| Error::new("set the flags of inotify", e))?;
        with_status(all, open)
    }
}

/// Adds watches of files without a name, each open as a path. What number comes next is what comes behind all of them.
pub(crate) fn watch_removed(
    inotify: &Inotify,
    all: &OwnedFd,
    files: &BTreeMap<ObjectId, OwnedFd>,
) -> Result<()> {
    let gone = || Error::because("watch a removed file", "it was not made");
    for watch in inotify.watches.iter().filter(|watch| watch.name.deleted) {
        add(all, watch, files.get(&watch.name.object()).ok_or_else(gone)?)?;
    }
    let last = inotify.watches.last().map_or(0, |watch| watch.wd as i32);
    match last.checked_add(1) {
        Some(next) => inotify_set_next(all.as_fd(), next)
            .map_err(|e| Error::new("set the number of the next watch", e)),
        None => Ok(()),
    }
}

/// The file, which must be the one that was watched.
fn watched(inotify: &Inotify, watch: &InotifyWatch, make: &Factory<'_>) -> Result<OwnedFd> {
    let (path, found) = make.stands.named(inotify.pid, &watch.name)?;
    make.stands.same.inode(&watch.name, &found)?;
    Ok(path)
}

/// Adds a watch under its number.
fn add(all: &OwnedFd, watch: &InotifyWatch, file: &impl AsRawFd) -> Result<()> {
    let doing = || format!("watch {} under the number {}", watch.name.path, watch.wd);
    let fail = |e| Error::new(doing(), e);
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    inotify_set_next(all.as_fd(), watch.wd as i32).map_err(fail)?;
    // The kernel takes no mask of 0, and tells the end of a file system to all.
    let mask = watch.mask | libc::IN_UNMOUNT;
    match inotify_add_watch(all.as_fd(), &path, mask).map_err(fail)? {
        wd if wd as u32 == watch.wd => Ok(()),
        _ => Err(Error::because(doing(), "the file is watched already")),
    }
}

/// Forgets what restore itself has done to files since it was made.
pub(crate) fn forget(inotify: &Inotify, all: &OwnedFd) -> Result<()> {
    read_away(all, if inotify.overflow { REPORT } else { 0 })
}

/// Reads reports until `left` bytes of them are left.
fn read_away(all: &OwnedFd, left: usize) -> Result<()> {
    let fail = |e| Error::new("read the reports of inotify", e);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let waiting = pipe_queued(all.as_fd()).map_err(fail)?;
        let some = waiting.saturating_sub(left).min(buffer.len());
        if some == 0 {
            return Ok(());
        }
        read(all, &mut buffer[..some]).map_err(|e| fail(e.into()))?;
    }
}

/// Has it report an overflow, and nothing else: more is reported of a file of our own than it can hold back.
fn overflow(all: &OwnedFd) -> Result<()> {
    let fail = |e| Error::new("fill the queue of inotify", e);
    let file = File::from(memfd_create(c"inotify", 0)?);
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = CString::new(link.clone()).unwrap_or_default();
    let mask = libc::IN_OPEN | libc::IN_CLOSE;
    let wd = inotify_add_watch(all.as_fd(), &path, mask).map_err(fail)?;
    let mut before = usize::MAX;
    loop {
        let waiting = pipe_queued(all.as_fd()).map_err(fail)?;
        if waiting == before {
            break;
        }
        before = waiting;
        // Two that are the same in a row would be one.
        drop(File::open(&link).map_err(fail)?);
    }
    inotify_rm_watch(all.as_fd(), wd).map_err(fail)?;
    read_away(all, REPORT)
}
