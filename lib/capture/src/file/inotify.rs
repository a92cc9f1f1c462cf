//! inotify(7), by show_fdinfo of fs/notify/fdinfo.c. The kernel shows an inode and its handle; the path is found by
//! open_by_handle_at(2), or is one that the process has open or stands in.
//!
//! Events that wait to be read cannot be seen without taking them away. They are lost, and restore has the instance say
//! so in the way that inotify has for it.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    path::{Root, of_a_process},
    resource::OfFile,
};
use floe_records::{
    AnyRecord, FileId, FileRef, Finding, Findings, HIGHEST_WATCH, Inotify, InotifyWatch, Pid,
};
use floe_sys::{Error, open_by_handle, pipe_queued};
use floe_unions::{Mount, mounts};
use nix::sys::stat::fstat;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::OpenOptions,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
};

/// A watch as fdinfo shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    wd: u32,
    ino: u64,
    dev: u64,
    mask: u32,
    /// Type and bytes, where the file system has handles.
    handle: Option<(i32, Vec<u8>)>,
}

impl OfFile for Inotify {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("inotify")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new("file.inotify", "it has an unknown form");
        let shown = seen.info.lines("inotify wd").map(watch).collect::<Option<Vec<_>>>();
        let mut shown = shown.ok_or_else(unknown)?;
        shown.sort_by_key(|watch| watch.wd);
        let mut mounts = Mounts::of(seen.pid)?;
        let watches = shown.iter().map(|watch| {
            if watch.wd > HIGHEST_WATCH {
                let problem = format!("watch {} has a number that is too high", watch.wd);
                return Err(Problem::new("file.inotify", problem));
            }
            let name = mounts.find(seen.root(), watch);
            let name = name.map_err(|problem| Problem::new("file.inotify", problem))?;
            Ok(InotifyWatch { wd: watch.wd, mask: watch.mask, name })
        });
        let watches = watches.collect::<Result<_, Problem>>()?;
        let waiting = pipe_queued(seen.duplicate()?)
            .map_err(|e| Problem::Sys(Error::new("ask for its events", e)))?;
        Ok(Inotify { file, pid: Pid(seen.pid), watches, overflow: waiting > 0 })
    }

    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        for (open, what) in files.of::<Inotify>() {
            if matches!(what, AnyRecord::Inotify(inotify) if inotify.overflow) {
                let problem = "events that wait to be read: an overflow is reported instead";
                out.lose(Finding::of(open.pid, "inotify", "file.inotify", problem));
            }
        }
        Ok(())
    }
}

/// `1 ino:41a2 sdev:fe00000 mask:100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:a2410000…`, behind
/// `inotify wd:`; numbers are hexadecimal.
fn watch(line: &[u8]) -> Option<Shown> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let wd = u32::from_str_radix(words.next()?, 16).ok()?;
    let all: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once(':')).collect();
    let hex = |key: &str| u64::from_str_radix(all.get(key)?, 16).ok();
    let sdev = hex("sdev")?;
    let handle = match all.get("f_handle") {
        None => None,
        Some(text) => {
            let bytes = text
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            Some((hex("fhandle-type")? as i32, bytes.collect::<Option<Vec<u8>>>()?))
        }
    };
    // MKDEV of include/linux/kdev_t.h.
    let dev = libc::makedev((sdev >> 20) as u32, (sdev & 0xf_ffff) as u32);
    Some(Shown { wd, ino: hex("ino")?, dev, mask: hex("mask")? as u32, handle })
}

/// File systems that a process sees, and the names that it shows.
struct Mounts {
    pid: u32,
    all: Vec<Mount>,
    /// One place on each, once it was needed.
    open: BTreeMap<u64, Vec<OwnedFd>>,
    /// What the process has open, runs, and stands in, by inode number, once it was needed.
    held: Option<BTreeMap<u64, OwnedFd>>,
}

impl Mounts {
    fn of(pid: u32) -> Result<Self, Error> {
        let path = floe_proc::path(pid, "mountinfo");
        let text = std::fs::read(&path);
        let text = text.map_err(|e| Error::new(format!("read {}", path.display()), e))?;
        Ok(Self { pid, all: mounts(&text), open: BTreeMap::new(), held: None })
    }

    /// The name of a watched file.
    fn find(&mut self, root: &Root, watch: &Shown) -> Result<FileRef, String> {
        let by_handle = watch.handle.as_ref().and_then(|handle| self.by_handle(watch.dev, handle));
        let by_handle = by_handle.unwrap_or_default();
        let held = if by_handle.is_empty() { self.held().get(&watch.ino) } else { None };
        let mut removed = false;
        for file in by_handle.iter().chain(held) {
            let Ok(stat) = fstat(file) else { continue };
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let Ok(path) = std::fs::read_link(link) else { continue };
            let path = path.as_os_str().as_bytes().to_vec();
            removed |= stat.st_nlink == 0;
            if of_a_process(&path) {
                return Err(format!("watch {} is on a file of a process in /proc", watch.wd));
            }
            if !root.leads_to(&path, stat.st_dev, stat.st_ino) {
                continue;
            }
            let (path, outside) = root.below(path);
            let (dev, ino) = (stat.st_dev, stat.st_ino);
            return Ok(FileRef {
                path: path.into(),
                outside,
                dev,
                ino,
                mnt_id: None,
                deleted: false,
            });
        }
        let (wd, ino) = (watch.wd, watch.ino);
        let (major, minor) = (libc::major(watch.dev), libc::minor(watch.dev));
        Err(match removed {
            true => format!("watch {wd} is on a file that was removed"),
            false => {
                format!("no path is found for watch {wd} (inode {ino} of device {major}:{minor})")
            }
        })
    }

    /// The file on each mount of its file system.
    fn by_handle(&mut self, dev: u64, (kind, handle): &(i32, Vec<u8>)) -> Option<Vec<OwnedFd>> {
        let pid = self.pid;
        let all = &self.all;
        let places = self.open.entry(dev).or_insert_with(|| {
            let points = all.iter().filter(|mount| mount.dev == dev);
            let open = |mount: &Mount| {
                let point = mount.point.strip_prefix(b"/").unwrap_or(&mount.point);
                let path = floe_proc::path(pid, "root").join(OsStr::from_bytes(point));
                // For its file system, a place must be open for more than its path.
                let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_DIRECTORY;
                let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
                file.ok().map(OwnedFd::from)
            };
            points.filter_map(open).collect()
        });
        let found = places.iter().map(|place| open_by_handle(place.as_fd(), *kind, handle));
        Some(found.filter_map(std::io::Result::ok).collect())
    }

    fn held(&mut self) -> &BTreeMap<u64, OwnedFd> {
        let pid = self.pid;
        self.held.get_or_insert_with(|| {
            let links = ["cwd", "root", "exe"].map(|link| floe_proc::path(pid, link));
            let all = std::fs::read_dir(floe_proc::path(pid, "fd"));
            let all = all.into_iter().flatten().flatten().map(|entry| entry.path());
            let opened = links.into_iter().chain(all).filter_map(|link| {
                let flags = libc::O_PATH | libc::O_CLOEXEC;
                let file = OpenOptions::new().read(true).custom_flags(flags).open(link).ok()?;
                Some((fstat(&file).ok()?.st_ino, OwnedFd::from(file)))
            });
            opened.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_read() {
        let line = b"1f ino:41a2 sdev:fe00001 mask:80000100 ignored_mask:0 fhandle-bytes:4 fhandle-type:1 f_handle:a2410000 ";
        let want = Shown {
            wd: 31,
            ino: 0x41a2,
            dev: libc::makedev(0xfe, 1),
            mask: 0x8000_0100,
            handle: Some((1, vec![0xa2, 0x41, 0, 0])),
        };
        assert_eq!(watch(line), Some(want));
        let bare = watch(b"1 ino:2 sdev:19 mask:3ff ignored_mask:0 ").unwrap();
        assert_eq!((bare.dev, bare.handle), (libc::makedev(0, 0x19), None));
        for bad in
            [&b""[..], b"1 ino:2", b"x ino:2 sdev:1 mask:1", b"1 ino:2 sdev:1 mask:1 f_handle:zz"]
        {
            assert_eq!(watch(bad), None);
        }
    }
}
