//! The file behind a descriptor, as stat(2) or the descriptor's link shows it.

use floe_proc::Fdinfo;
use floe_records::Bytes;
use floe_sys::{Error, Result};
use nix::sys::{eventfd::EventFd, stat::FileStat};
use std::{
    fs::{File, Metadata},
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, net::UnixDatagram},
    },
    sync::OnceLock,
};

/// The file behind a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inode {
    /// 0 for files that only one kernel-internal file system has.
    pub dev: u64,
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    pub nlink: u64,
    /// Of a device: which one.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of the inode, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl Inode {
    /// By its stat(2).
    pub fn of(stat: &FileStat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            mode: stat.st_mode,
            nlink: stat.st_nlink,
            rdev: stat.st_rdev,
            size: stat.st_size as u64,
            mtime_ns: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec,
            ctime_ns: stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec,
        }
    }

    /// By its statx(2).
    pub fn of_statx(stat: &libc::statx) -> Self {
        let ns =
            |time: libc::statx_timestamp| time.tv_sec * 1_000_000_000 + i64::from(time.tv_nsec);
        Self {
            dev: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            mode: stat.stx_mode.into(),
            nlink: stat.stx_nlink.into(),
            rdev: libc::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
            size: stat.stx_size,
            mtime_ns: ns(stat.stx_mtime),
            ctime_ns: ns(stat.stx_ctime),
        }
    }

    /// One that has no name, and whose link says all that a stat(2) would.
    pub fn nameless(link: &[u8], ino: u64) -> Result<Option<Self>> {
        let (dev, mode) = if link.starts_with(b"socket:") {
            (0, libc::S_IFSOCK)
        } else if link.starts_with(b"pipe:") {
            (Own::get()?.pipe_device, libc::S_IFIFO)
        } else if link.starts_with(b"anon_inode:") {
            (0, 0)
        } else if !link.starts_with(b"/") {
            // A namespace, such as `net:[4026531840]`.
            (0, libc::S_IFREG)
        } else {
            return Ok(None);
        };
        Ok(Some(Self { dev, ino, mode, nlink: 1, rdev: 0, size: 0, mtime_ns: 0, ctime_ns: 0 }))
    }

    fn is(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    pub fn is_file(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    pub fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    pub fn is_fifo(&self) -> bool {
        self.is(libc::S_IFIFO)
    }

    pub fn is_socket(&self) -> bool {
        self.is(libc::S_IFSOCK)
    }

    pub fn is_char_device(&self) -> bool {
        self.is(libc::S_IFCHR)
    }

    pub fn is_block_device(&self) -> bool {
        self.is(libc::S_IFBLK)
    }
}

/// Kernel objects of the one inode that have no other, by a line of fdinfo that only they have.
const ANONYMOUS: [(&str, &[u8]); 4] = [
    ("eventfd-count", b"anon_inode:[eventfd]"),
    ("clockid", b"anon_inode:[timerfd]"),
    ("sigmask", b"anon_inode:[signalfd]"),
    ("tfd", b"anon_inode:[eventpoll]"),
];

/// What the link of a descriptor shows, where fdinfo tells as much: of sockets, pipes and kernel objects without a name, each of
/// which are all on one mount of the kernel's own.
pub(crate) fn link(info: &Fdinfo) -> Result<Option<Vec<u8>>> {
    let (own, ino) = (Own::get()?, info.ino);
    Ok(if info.mnt_id == own.pipes {
        Some(format!("pipe:[{ino}]").into_bytes())
    } else if info.mnt_id == own.sockets {
        Some(format!("socket:[{ino}]").into_bytes())
    } else if info.mnt_id == own.anonymous {
        let link = ANONYMOUS.iter().find(|(line, _)| info.line(line).is_some());
        link.map(|(_, link)| link.to_vec())
    } else {
        None
    })
}

/// Whether a descriptor may have been opened by a path: it is on none of the mounts of pipes, sockets and kernel objects.
pub(crate) fn may_have_name(info: &Fdinfo) -> Result<bool> {
    let own = Own::get()?;
    Ok(![own.pipes, own.sockets, own.anonymous].contains(&info.mnt_id))
}

/// Whether a file is on the mount of the kernel's own that memfd_create(2) makes files on.
pub(crate) fn is_in_memory(info: &Fdinfo) -> Result<bool> {
    Ok(info.mnt_id == Own::get()?.memory)
}

/// When a file was last read and changed: seconds, and nanoseconds below 1e9.
pub(crate) fn times(stat: &Metadata) -> [(i64, u32); 2] {
    [(stat.atime(), stat.atime_nsec() as u32), (stat.mtime(), stat.mtime_nsec() as u32)]
}

/// All extended attributes of a file.
pub(crate) fn attributes(file: &File) -> Result<Vec<(Bytes, Bytes)>> {
    let all = floe_sys::attributes(file.as_fd())?;
    Ok(all.into_iter().map(|(name, value)| (Bytes(name), Bytes(value))).collect())
}

/// The mounts that only the kernel itself has: those of pipes, sockets, objects without a file, and files in memory.
struct Own {
    pipes: u32,
    sockets: u32,
    anonymous: u32,
    memory: u32,
    /// The device of pipes.
    pipe_device: u64,
}

impl Own {
    /// As a pipe and a socket of ours show them.
    fn get() -> Result<&'static Self> {
        static OWN: OnceLock<Own> = OnceLock::new();
        if let Some(own) = OWN.get() {
            return Ok(own);
        }
        let fail = |e: nix::Error| Error::new("look at a pipe", e);
        let (pipe, _other) = nix::unistd::pipe().map_err(fail)?;
        let pipe_device = nix::sys::stat::fstat(&pipe).map_err(fail)?.st_dev;
        let socket = UnixDatagram::unbound().map_err(|e| Error::new("look at a socket", e))?;
        let mount = |fd| Fdinfo::of_own(fd).map(|info| info.mnt_id);
        let event = EventFd::new().map_err(|e| Error::new("look at an eventfd", e))?;
        let (pipes, sockets) = (mount(pipe.as_fd())?, mount(socket.as_fd())?);
        let anonymous = mount(event.as_fd())?;
        let file = floe_sys::memfd_create(c"floe", 0)?;
        let memory = mount(file.as_fd())?;
        Ok(OWN.get_or_init(|| Self { pipes, sockets, anonymous, memory, pipe_device }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        signal::SigSet,
        signalfd::SignalFd,
        stat::{fstat, stat},
        timerfd::{ClockId, TimerFd, TimerFlags},
    };
    use std::os::fd::{AsFd, AsRawFd};

    fn both(fd: impl AsFd) -> (Inode, Inode) {
        let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        let link = std::fs::read_link(&path).unwrap();
        let told = Inode::of(&fstat(&fd).unwrap());
        let link = link.as_os_str().as_encoded_bytes();
        let info = Fdinfo::of_own(fd.as_fd()).unwrap();
        assert_eq!(super::link(&info).unwrap().as_deref(), Some(link));
        (Inode::nameless(link, told.ino).unwrap().unwrap(), told)
    }

    #[test]
    fn both_calls_say_the_same() {
        let root = std::fs::File::open("/").unwrap();
        for path in ["/dev/null", "/proc/self/exe", "/etc/passwd", "/tmp"] {
            let inner = path.trim_start_matches('/').as_bytes();
            let (statx, _) = floe_sys::stat_on_mount(root.as_fd(), inner).unwrap().unwrap();
            let told = Inode::of(&nix::sys::stat::lstat(path).unwrap());
            // What /proc shows of a process has the time at which it is looked up.
            let same = |inode: Inode| Inode { mtime_ns: 0, ctime_ns: 0, ..inode };
            assert_eq!(same(Inode::of_statx(&statx)), same(told), "{path}");
            assert!(path.starts_with("/proc") || Inode::of_statx(&statx) == told, "{path}");
        }
    }

    #[test]
    fn a_link_says_what_stat_would() {
        let (end, _other) = std::io::pipe().unwrap();
        let (shown, told) = both(&end);
        assert!(shown.is_fifo() && told.is_fifo() && shown.dev == told.dev);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (shown, told) = both(&socket);
        assert!(shown.is_socket() && told.is_socket());
        let (shown, _) = both(EventFd::new().unwrap());
        assert!(!shown.is_file() && !shown.is_dir() && !shown.is_char_device());
        both(TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::empty()).unwrap());
        both(SignalFd::new(&SigSet::empty()).unwrap());
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        both(epoll.0);
        let own = std::fs::File::open("/proc/self/stat").unwrap();
        assert_eq!(super::link(&Fdinfo::of_own(own.as_fd()).unwrap()).unwrap(), None);
        assert!(Inode::nameless(b"/dev/null", 1).unwrap().is_none());
        let null = Inode::of(&stat("/dev/null").unwrap());
        assert!(
            null.is_char_device() && null.rdev == libc::makedev(1, 3) && !null.is_block_device()
        );
    }
}
