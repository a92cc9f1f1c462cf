//! fanotify(7), by show_fdinfo of fs/notify/fdinfo.c. Marks of files are found as those of inotify are (`by_inode.rs`), mounts and
//! file systems by their numbers.
//!
//! Events that wait to be read cannot be seen without taking them away, and a group that never loses one (FAN_UNLIMITED_QUEUE) cannot
//! even say that some were lost: so they have to be read first. What comes while the tree stands still came when it was not there.

use crate::{
    Result,
    by_inode::{self, Shown as File},
    descriptor_of::{Descriptor, Problem},
    inode::Inode,
    on_mounts,
    resource::OfFile,
};
use floe_records::{
    Fanotify, FanotifyMark, FileId, FileRef, GROUP_FLAGS, MARK_FLAGS, Marked, PERMISSION, Pid,
};
use floe_sys::{Error, pipe_queued};
use floe_unions::Mount;
use nix::{fcntl::OFlag, sys::stat::fstat};

const RULE: &str = "file.fanotify";
/// Of events, which are read sooner or later.
pub(crate) const EVENTS: &str = "fanotify.events";
/// Number of the capability.
const SYS_ADMIN: u32 = 21;

/// What a mark is on, as fdinfo shows it.
#[derive(Debug, PartialEq, Eq)]
enum On {
    Inode(File),
    Mount(u32),
    FileSystem(u64),
}

/// A mark as fdinfo shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    on: On,
    flags: u32,
    mask: u32,
    ignored: u32,
}

impl OfFile for Fanotify {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[fanotify]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new(RULE, "it has an unknown form");
        let mut lines = seen.info.lines("fanotify flags").filter_map(group);
        let (flags, event_flags) = lines.next().ok_or_else(unknown)?;
        let marks = lines_of(seen).map(mark).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        check(seen, flags, &marks)?;
        // Before directories are read, which may be an event.
        let waiting = pipe_queued(seen.duplicate()?)
            .map_err(|e| Problem::Sys(Error::new("ask for its events", e)))?;
        if waiting > 0 && !seen.context.taking {
            let hint = "try again when it has read them";
            return Err(Problem::Refused(EVENTS, "events wait to be read".into(), hint));
        }
        let marks = named(seen, marks)?;
        let all = Fanotify { file, pid: Pid(seen.pid), flags, event_flags, marks };
        if !all.fits() {
            let count = all.marks.len();
            let problem = format!("its {count} marks are more than a record of an image holds");
            return Err(Problem::new(RULE, problem));
        }
        Ok(all)
    }
}

/// Lines `fanotify ino:…`, `fanotify mnt_id:…` and `fanotify sdev:…`, without their first word; and of what floe does not know.
fn lines_of<'a>(seen: &'a Descriptor<'_>) -> impl Iterator<Item = &'a [u8]> {
    let lines = seen.info.text().split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| line.strip_prefix(b"fanotify "));
    lines.filter(|line| !line.starts_with(b"flags:"))
}

/// `3 event-flags:8000`, behind `fanotify flags:`.
fn group(line: &[u8]) -> Option<(u32, u32)> {
    let (flags, event) = std::str::from_utf8(line).ok()?.split_once(" event-flags:")?;
    Some((u32::from_str_radix(flags, 16).ok()?, u32::from_str_radix(event, 16).ok()?))
}

/// `mnt_id:1b mflags:0 mask:8 ignored_mask:0`; numbers are hexadecimal.
fn mark(line: &[u8]) -> Option<Shown> {
    let line = std::str::from_utf8(line).ok()?;
    let value = |key: &str| {
        let mut words = line.split_ascii_whitespace();
        let text = words.find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))?;
        u64::from_str_radix(text, 16).ok()
    };
    let small = |key| u32::try_from(value(key)?).ok();
    let on = match line.split(':').next()? {
        "ino" => On::Inode(File::parse(line)?),
        "mnt_id" => On::Mount(small("mnt_id")?),
        "sdev" => On::FileSystem(by_inode::device(value("sdev")?)),
        _ => return None,
    };
    Some(Shown {
        on,
        flags: small("mflags")?,
        mask: small("mask")?,
        ignored: small("ignored_mask")?,
    })
}

/// Refuses a group that cannot be made again.
fn check(seen: &Descriptor<'_>, flags: u32, marks: &[Shown]) -> Result<(), Problem> {
    let refuse = |problem: &str| Err(Problem::new(RULE, problem));
    if flags & (libc::FAN_CLASS_CONTENT | libc::FAN_CLASS_PRE_CONTENT) != 0
        || marks.iter().any(|mark| (mark.mask | mark.ignored) & PERMISSION != 0)
    {
        return refuse(
            "it is asked for permission (FAN_CLASS_CONTENT, FAN_CLASS_PRE_CONTENT), and who waits for its answer is not shown",
        );
    }
    let known = |mark: &Shown| mark.flags & !MARK_FLAGS == 0 && mark.mask | mark.ignored != 0;
    if flags & !GROUP_FLAGS != 0 || !marks.iter().all(known) {
        return refuse("it has flags that floe does not know");
    }
    // One that was made without privileges is told less, and has flags that do not need any.
    let plain = libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
    let report = libc::FAN_REPORT_FID | libc::FAN_REPORT_DIR_FID | libc::FAN_REPORT_NAME;
    let report = report | libc::FAN_REPORT_TARGET_FID;
    let inodes = marks.iter().all(|mark| matches!(mark.on, On::Inode(_)));
    let without = flags & report != 0 && flags & !(plain | report) == 0 && inodes;
    let may = |caps: u64| caps >> SYS_ADMIN & 1 != 0;
    if without && !may(floe_proc::effective_capabilities(seen.pid)?) {
        return refuse("whether it was made with CAP_SYS_ADMIN is not shown");
    }
    if !may(floe_sys::effective_capabilities()?) {
        return refuse("it cannot be made again without CAP_SYS_ADMIN");
    }
    Ok(())
}

/// Finds what the marks are on.
fn named(seen: &Descriptor<'_>, shown: Vec<Shown>) -> Result<Vec<FanotifyMark>, Problem> {
    let files = shown.iter().filter_map(|mark| match &mark.on {
        On::Inode(file) => Some(file.clone()),
        _ => None,
    });
    let files: Vec<File> = files.collect();
    let fail = |error| by_inode::problem(RULE, error);
    let found = by_inode::find(seen, &files).map_err(fail)?;
    let mounts = match files.len() == shown.len() {
        true => Vec::new(),
        false => on_mounts::seen_by(seen.pid, seen.root()).map_err(fail)?,
    };
    // The last that was made is shown first.
    let marks = shown.into_iter().rev().map(|mark| {
        let (on, name) = match &mark.on {
            On::Inode(file) => {
                let found = found.get(&file.key());
                let name = by_inode::name(seen, file, found, (RULE, "a mark"))?;
                if name.deleted {
                    return Err(Problem::new(RULE, by_inode::removed(&name, "a mark")));
                }
                (Marked::Inode, name)
            }
            On::Mount(id) => (Marked::Mount, top(seen, &mounts, |mount| mount.id == *id)?),
            On::FileSystem(dev) => {
                (Marked::FileSystem, top(seen, &mounts, |mount| mount.dev == *dev)?)
            }
        };
        let Shown { flags, mask, ignored, .. } = mark;
        Ok(FanotifyMark { on, flags, mask, ignored, name })
    });
    marks.collect()
}

/// The top of a mount that the process sees.
fn top(
    seen: &Descriptor<'_>,
    mounts: &[Mount],
    is_it: impl Fn(&Mount) -> bool,
) -> Result<FileRef, Problem> {
    let root = seen.root();
    for mount in mounts.iter().filter(|mount| is_it(mount)) {
        let Ok(Some(_)) = on_mounts::place(root, mount) else { continue };
        let (path, outside) = root.below(mount.point.clone());
        let Ok(place) = root.open(&mount.point, OFlag::O_PATH) else { continue };
        let Ok(stat) = fstat(&place) else { continue };
        let (stat, mnt_id) = (Inode::of(&stat), Some(mount.id));
        let (dev, ino) = (stat.dev, stat.ino);
        return Ok(FileRef { path: path.into(), outside, dev, ino, mnt_id, deleted: false });
    }
    Err(Problem::new(RULE, "a mark is on a mount or file system that its process does not see"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read() {
        let file = mark(b"ino:98c1e3 sdev:fe00000 mflags:40 mask:0 ignored_mask:3 fhandle-bytes:4 fhandle-type:1 f_handle:e3c19800 ").unwrap();
        let On::Inode(inode) = &file.on else { panic!("{file:?}") };
        assert_eq!(inode.key(), (libc::makedev(0xfe, 0), 0x98_c1e3));
        assert_eq!((file.flags, file.mask, file.ignored), (0x40, 0, 3));
        let on = |line: &str| mark(format!("{line} mflags:0 mask:8 ignored_mask:0").as_bytes());
        assert_eq!(on("mnt_id:1b").unwrap().on, On::Mount(27));
        let system = On::FileSystem(libc::makedev(0xfe, 1));
        assert_eq!(on("sdev:fe00001").unwrap().on, system);
        assert_eq!((on("mnt_ns:5"), on("ino:5"), mark(b"mnt_id:1b")), (None, None, None));
        assert_eq!(group(b"3 event-flags:88002"), Some((3, 0x8_8002)));
        assert_eq!(group(b"3"), None);
    }
}
