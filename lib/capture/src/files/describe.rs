//! One descriptor: what /proc/PID/fdinfo and a duplicate say of it.

use super::{epoll, eventfd, fdinfo, locks::locks, signalfd, sockets, timerfd};
use crate::{Error, Result, files::SocketRules, fs};
use floe_records::{Bytes, FileKind, FileRef, Lock, ObjectId, Refusal};
use floe_sys::{owner_ex, owner_signal};
use std::fs::Metadata;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

const O_CLOEXEC: u32 = 0o2_000_000;
const O_PATH: u32 = 0o10_000_000;

/// A descriptor as it was found.
pub(super) struct Found {
    pub key: (u64, u64),
    pub flags: u32,
    pub cloexec: bool,
    pub pos: u64,
    pub owner: Option<(i32, u32, i32)>,
    pub what: FileKind,
    pub locks: Vec<Lock>,
    /// The path a file without a name once had.
    pub gone: Vec<u8>,
    pub duplicate: OwnedFd,
}

/// Reads everything about descriptor `fd` of `pid`.
pub(super) fn describe(pid: u32, fd: u32, duplicate: OwnedFd, rules: SocketRules) -> Result<Found> {
    let path = format!("/proc/{pid}/fd/{fd}");
    let fail = |e| floe_sys::Error::new(format!("read {path}"), e).pid(pid);
    let link = std::fs::read_link(&path).map_err(fail)?.into_os_string().into_vec();
    if link == b"anon_inode:[timerfd]" {
        floe_sys::timerfd_count(duplicate.as_fd())?;
    }
    let stat = std::fs::metadata(&path).map_err(fail)?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).map_err(fail)?;
    let refuse = |problem: &str, hint: &str| -> Error {
        Error::refuse(Refusal {
            pid: Some(floe_records::Pid(pid)),
            object: format!("fd {fd} ({})", String::from_utf8_lossy(&link)),
            problem: problem.into(),
            hint: hint.into(),
        })
    };
    let all = fdinfo::octal(&info, "flags:");
    let mut gone = Vec::new();
    let what = if let Some(name) = link.strip_prefix(b"anon_inode:") {
        anonymous(name, &info, duplicate.as_fd())
            .ok_or_else(|| refuse("this kind of descriptor cannot be captured", ""))?
    } else if stat.file_type().is_socket() && all & O_PATH == 0 {
        sockets::socket(pid, stat.ino(), duplicate.as_fd(), rules)
            .map_err(|(problem, hint)| refuse(&problem, hint))?
    } else if stat.file_type().is_fifo() && link.starts_with(b"pipe:") {
        FileKind::Pipe(ObjectId { dev: stat.dev(), ino: stat.ino() })
    } else if stat.file_type().is_char_device()
        && is_terminal(stat.rdev())
        && refused(&link, &stat).is_ok()
    {
        FileKind::External(Bytes(link.clone()))
    } else {
        let what = named(pid, &link, &stat, &info).map_err(|problem| refuse(problem, ""))?;
        if matches!(what, FileKind::Object(_)) {
            gone = fs::without_suffix(pid, link.clone(), stat.dev(), stat.ino()).0;
        }
        what
    };
    let locks = locks(&info).map_err(|problem| refuse(problem, ""))?;
    let owner = if all & O_PATH == 0 { owner(duplicate.as_fd())? } else { None };
    Ok(Found {
        key: (stat.dev(), stat.ino()),
        flags: all & !O_CLOEXEC,
        cloexec: all & O_CLOEXEC != 0,
        pos: fdinfo::decimal(&info, "pos:"),
        owner,
        what,
        locks,
        gone,
        duplicate,
    })
}

fn owner(fd: BorrowedFd<'_>) -> Result<Option<(i32, u32, i32)>> {
    let (kind, id) = owner_ex(fd)?;
    let signal = owner_signal(fd)?;
    Ok((id != 0 || signal != 0).then_some((kind, id as u32, signal)))
}

/// Terminals and pseudo terminals: major 4, 5 and 136 to 143 (Documentation/admin-guide/devices.txt).
fn is_terminal(rdev: u64) -> bool {
    matches!(nix::sys::stat::major(rdev), 4 | 5 | 136..=143)
}

/// Files with a name that cannot be opened again as they are.
pub(crate) fn refused(link: &[u8], stat: &Metadata) -> Result<(), &'static str> {
    /// Devices without a state: null, zero, full, random, urandom.
    const PLAIN: [(u64, u64); 5] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)];
    let device = (nix::sys::stat::major(stat.rdev()), nix::sys::stat::minor(stat.rdev()));
    if stat.file_type().is_char_device() {
        return match device {
            (5, 2) => Err("pseudo terminals that the tree has made itself cannot be captured"),
            _ if PLAIN.contains(&device) || is_terminal(stat.rdev()) => Ok(()),
            _ => Err("the state of this device cannot be captured"),
        };
    }
    if fs::of_a_process(link) {
        return Err("files of a process in /proc cannot be captured");
    }
    Ok(())
}

/// A file that has, or had, a name.
fn named(pid: u32, link: &[u8], stat: &Metadata, info: &str) -> Result<FileKind, &'static str> {
    let (dev, ino) = (stat.dev(), stat.ino());
    let (path, deleted) = fs::without_suffix(pid, link.to_vec(), dev, ino);
    let kind = stat.file_type();
    refused(link, stat)?;
    if deleted {
        return if kind.is_file() && stat.nlink() > 0 {
            Err("it was removed, and has another name, which is not known")
        } else if kind.is_file() {
            Ok(FileKind::Object(ObjectId { dev, ino }))
        } else {
            Err("it was removed, and is no regular file")
        };
    }
    let root = fs::root_path(pid).map_err(|_| "the root of its process cannot be read")?;
    if !fs::leads_to(pid, &path, dev, ino) {
        return Err("its path leads to another file by now");
    }
    let (path, outside) = fs::below_root(path, &root);
    let mnt_id = fdinfo::field(info, "mnt_id:").parse().ok();
    let file = FileRef { path: Bytes(path), outside, dev, ino, mnt_id, deleted: false };
    let path_only = fdinfo::octal(info, "flags:") & O_PATH != 0;
    if path_only && !kind.is_dir() && !kind.is_file() {
        Err("a descriptor that is only a path (O_PATH) of such a file cannot be captured")
    } else if kind.is_fifo() {
        Ok(FileKind::Fifo(file))
    } else if kind.is_char_device() {
        Ok(FileKind::Device(file, stat.rdev()))
    } else if kind.is_dir() {
        Ok(FileKind::Directory(file))
    } else if kind.is_file() {
        Ok(FileKind::Regular(file, stat.size()))
    } else {
        Err("this kind of file cannot be captured")
    }
}

fn anonymous(name: &[u8], info: &str, fd: BorrowedFd<'_>) -> Option<FileKind> {
    match name {
        b"[eventfd]" => eventfd::eventfd(info, fd),
        b"[signalfd]" => signalfd::signalfd(info),
        b"[timerfd]" => timerfd::timerfd(info).map(FileKind::Timerfd),
        b"[eventpoll]" => epoll::epoll(info),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_anonymous_files() {
        let event = "pos:\t0\nflags:\t02\neventfd-count:               1f\neventfd-id: 3\neventfd-semaphore: 1\n";
        let fd = std::io::stdin();
        let anonymous = |name, info| anonymous(name, info, fd.as_fd());
        assert_eq!(anonymous(b"[eventfd]", event), Some(FileKind::Eventfd(31, true)));
        assert_eq!(
            anonymous(b"[signalfd]", "sigmask:\t0000000000000200\n"),
            Some(FileKind::Signalfd(0x200))
        );
        assert_eq!(anonymous(b"inotify", ""), None);
    }
}
