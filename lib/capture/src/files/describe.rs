//! One descriptor: what /proc/PID/fdinfo and a duplicate say of it.

use crate::{Error, Result};
use floe_records::{
    Bytes, EpollWatch, FdNum, FileId, FileKind, FileRef, Refusal, SocketOption, TcpSocket, Timerfd,
};
use floe_sys::{owner_ex, owner_signal, socket_name, socket_option};
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
    pub duplicate: OwnedFd,
}

/// Reads everything about descriptor `fd` of `pid`.
pub(super) fn describe(pid: u32, fd: u32, duplicate: OwnedFd) -> Result<Found> {
    let path = format!("/proc/{pid}/fd/{fd}");
    let fail = |e| floe_sys::Error::new(format!("read {path}"), e).pid(pid);
    let link = std::fs::read_link(&path).map_err(fail)?.into_os_string().into_vec();
    let stat = std::fs::metadata(&path).map_err(fail)?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).map_err(fail)?;
    let all = octal(&info, "flags:");
    let flags = all & !O_CLOEXEC;
    let refuse = |problem: &str, hint: &str| -> Error {
        Error::refuse(Refusal {
            pid: Some(floe_records::Pid(pid)),
            object: format!("fd {fd} ({})", String::from_utf8_lossy(&link)),
            problem: problem.into(),
            hint: hint.into(),
        })
    };
    let file = || FileRef {
        path: Bytes(link.clone()),
        dev: stat.dev(),
        ino: stat.ino(),
        mnt_id: info.lines().find_map(|l| l.strip_prefix("mnt_id:")?.trim().parse().ok()),
        deleted: false,
    };
    let kind = stat.file_type();
    let what = if let Some(name) = link.strip_prefix(b"anon_inode:") {
        anonymous(name, &info)
            .ok_or_else(|| refuse("this kind of descriptor cannot be captured", ""))?
    } else if kind.is_socket() {
        socket(stat.ino(), duplicate.as_fd(), &link)
            .map_err(|problem| refuse(&problem, "close it before the checkpoint"))?
    } else if kind.is_fifo() && link.starts_with(b"pipe:") {
        FileKind::Pipe(stat.ino())
    } else if kind.is_char_device() && is_terminal(stat.rdev()) {
        FileKind::External(Bytes(link.clone()))
    } else if is_gone(pid, &link, &stat) {
        return Err(refuse("its file was removed", "restore could not open it again"));
    } else if kind.is_fifo() {
        FileKind::Fifo(file())
    } else if kind.is_char_device() {
        FileKind::Device(file(), stat.rdev())
    } else if kind.is_dir() {
        FileKind::Directory(file())
    } else if kind.is_file() {
        FileKind::Regular(file(), stat.size())
    } else {
        return Err(refuse("this kind of file cannot be captured", ""));
    };
    let owner = if all & O_PATH == 0 { owner(duplicate.as_fd())? } else { None };
    let pos = decimal(&info, "pos:");
    let cloexec = all & O_CLOEXEC != 0;
    Ok(Found { key: (stat.dev(), stat.ino()), flags, cloexec, pos, owner, what, duplicate })
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

/// Does its path lead elsewhere by now?
fn is_gone(pid: u32, link: &[u8], stat: &std::fs::Metadata) -> bool {
    let mut path = format!("/proc/{pid}/root").into_bytes();
    path.extend(link);
    let path = std::ffi::OsString::from_vec(path);
    !std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (stat.dev(), stat.ino()))
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim)
}

fn octal(info: &str, name: &str) -> u32 {
    u32::from_str_radix(field(info, name), 8).unwrap_or(0)
}

fn decimal(info: &str, name: &str) -> u64 {
    field(info, name).parse().unwrap_or(0)
}

/// Files of fs/eventfd.c, fs/timerfd.c, fs/signalfd.c and fs/eventpoll.c, by their show_fdinfo.
fn anonymous(name: &[u8], info: &str) -> Option<FileKind> {
    match name {
        b"[eventfd]" => {
            let count = u64::from_str_radix(field(info, "eventfd-count:"), 16).ok()?;
            Some(FileKind::Eventfd(count, field(info, "eventfd-semaphore:") == "1"))
        }
        b"[signalfd]" => {
            u64::from_str_radix(field(info, "sigmask:"), 16).ok().map(FileKind::Signalfd)
        }
        b"[timerfd]" => timerfd(info).map(FileKind::Timerfd),
        b"[eventpoll]" => info
            .lines()
            .filter(|l| l.starts_with("tfd:"))
            .map(watch)
            .collect::<Option<_>>()
            .map(FileKind::Epoll),
        _ => None,
    }
}

fn timerfd(info: &str) -> Option<Timerfd> {
    let pair = |name| {
        let inside = field(info, name).trim_matches(['(', ')']);
        let (seconds, nanos) = inside.split_once(", ")?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?)
    };
    Some(Timerfd {
        clock: field(info, "clockid:").parse().ok()?,
        settime_flags: octal(info, "settime flags:"),
        ticks: decimal(info, "ticks:"),
        left_ns: pair("it_value:")?,
        interval_ns: pair("it_interval:")?,
    })
}

/// `tfd:        5 events:       19 data:                5  pos:0 ino:… sdev:…`
fn watch(line: &str) -> Option<EpollWatch> {
    let mut words = line.split_whitespace().skip(1);
    let fd = words.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.nth(1)?, 16).ok();
    let (events, data) = (hex()? as u32, hex()?);
    Some(EpollWatch { fd: FdNum(fd), file: FileId(0), events, data })
}

/// Listening and unconnected TCP sockets; what has a peer outside of the tree cannot be had.
fn socket(ino: u64, fd: BorrowedFd<'_>, link: &[u8]) -> Result<FileKind, String> {
    let number = |level, name| -> Result<i32, String> {
        let value = socket_option(fd, level, name, 4).map_err(|e| e.to_string())?;
        Ok(value.try_into().map_or(0, i32::from_ne_bytes))
    };
    let family = number(libc::SOL_SOCKET, libc::SO_DOMAIN)?;
    let stream = number(libc::SOL_SOCKET, libc::SO_TYPE)? == libc::SOCK_STREAM;
    if !stream || ![libc::AF_INET, libc::AF_INET6].contains(&family) {
        return Err(format!(
            "{}: this kind of socket cannot be captured yet",
            String::from_utf8_lossy(link)
        ));
    }
    // struct tcp_info: the first byte is the state; tcpi_sacked of a listener is its backlog (net/ipv4/tcp.c).
    let info =
        socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104).map_err(|e| e.to_string())?;
    let backlog = match info.first() {
        Some(10) => info.get(28..32).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes),
        Some(7) => None,
        _ => return Err("a TCP connection cannot be captured".into()),
    };
    let name = socket_name(fd).map_err(|e| e.to_string())?;
    let bound = name.get(2..4).is_some_and(|port| port != [0, 0]);
    let mut options = Vec::new();
    for (level, name) in OPTIONS {
        if let Ok(value) = socket_option(fd, *level, *name, 16) {
            options.push(SocketOption { level: *level, name: *name, value: Bytes(value) });
        }
    }
    Ok(FileKind::Tcp(TcpSocket {
        ino,
        family: family as u32,
        name: Bytes(if bound { name } else { Vec::new() }),
        peer: Bytes::default(),
        backlog,
        options,
    }))
}

/// Options that outlive the socket's use: set again in this order, before bind(2).
const OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_anonymous_files() {
        let event = "pos:\t0\nflags:\t02\neventfd-count:               1f\neventfd-id: 3\neventfd-semaphore: 1\n";
        assert_eq!(anonymous(b"[eventfd]", event), Some(FileKind::Eventfd(31, true)));
        let poll = "tfd:        5 events:       19 data:     7fff00000005  pos:0 ino:2d sdev:10\n";
        let watch =
            EpollWatch { fd: FdNum(5), file: FileId(0), events: 0x19, data: 0x7fff_0000_0005 };
        assert_eq!(anonymous(b"[eventpoll]", poll), Some(FileKind::Epoll(vec![watch])));
        assert_eq!(anonymous(b"inotify", ""), None);
    }
}
