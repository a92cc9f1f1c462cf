//! fanotify(7). What the kernel then shows of the group is compared with what was recorded.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{Fanotify, FanotifyMark, Marked, OpenFile};
use floe_sys::{Error, Result, fanotify, fanotify_mark, is_mount_root};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

impl ForFile for Fanotify {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let group = fanotify(self.flags, self.event_flags)?;
        for mark in &self.marks {
            let doing = || format!("mark {}", mark.name.path);
            let (path, found) = make.stands.named(self.pid, &mark.name)?;
            make.stands.same.inode(&mark.name, &found)?;
            if mark.on != Marked::Inode && !is_mount_root(path.as_fd())? {
                return Err(Error::because(doing(), "nothing is mounted there"));
            }
            add(&group, mark, &path).map_err(|e| Error::new(doing(), e))?;
        }
        compare(self, &group)?;
        // Whether it waits is a flag of the description from here on.
        fcntl(&group, FcntlArg::F_SETFL(OFlag::empty()))
            .map_err(|e| Error::new("set the flags of fanotify", e))?;
        with_status(group, open)
    }
}

/// Adds both halves of a mark.
fn add(group: &OwnedFd, mark: &FanotifyMark, file: &impl AsRawFd) -> std::io::Result<()> {
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let on = match mark.on {
        Marked::Inode => libc::FAN_MARK_INODE,
        Marked::Mount => libc::FAN_MARK_MOUNT,
        Marked::FileSystem => libc::FAN_MARK_FILESYSTEM,
    };
    let flags = libc::FAN_MARK_ADD | on | mark.flags & libc::FAN_MARK_EVICTABLE;
    if mark.mask != 0 {
        fanotify_mark(group.as_fd(), flags, mark.mask.into(), &path)?;
    }
    if mark.ignored != 0 {
        let ignore = match mark.flags & libc::FAN_MARK_IGNORE {
            0 => libc::FAN_MARK_IGNORED_MASK,
            new => new,
        };
        let survive = mark.flags & libc::FAN_MARK_IGNORED_SURV_MODIFY;
        fanotify_mark(group.as_fd(), flags | ignore | survive, mark.ignored.into(), &path)?;
    }
    Ok(())
}

/// A kernel of another version may take the same for something else.
fn compare(was: &Fanotify, group: &OwnedFd) -> Result<()> {
    let doing = "make a fanotify group";
    let info = floe_proc::Fdinfo::of_own(group.as_fd())?;
    let text = String::from_utf8_lossy(info.text());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("fanotify "));
    let flags = format!("flags:{:x} event-flags:{:x}", was.flags, was.event_flags);
    if lines.next() != Some(&flags) {
        return Err(Error::because(doing, "its flags are others here"));
    }
    let mut now: Vec<String> = lines.filter_map(masks).collect();
    let shown = |mark: &FanotifyMark| {
        let FanotifyMark { flags, mask, ignored, .. } = mark;
        format!("mflags:{flags:x} mask:{mask:x} ignored_mask:{ignored:x}")
    };
    let mut want: Vec<String> = was.marks.iter().map(shown).collect();
    now.sort_unstable();
    want.sort_unstable();
    if now == want { Ok(()) } else { Err(Error::because(doing, "its marks are others here")) }
}

/// What stands between the number of what is marked and its handle.
fn masks(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("mflags:"))?;
    Some(words.get(at..at + 3)?.join(" "))
}
