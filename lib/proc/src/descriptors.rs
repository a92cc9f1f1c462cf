//! The descriptors of one process, read relative to its open directories: with thousands of them, walking the path
//! /proc/PID/fdinfo for each costs more than the reads.

use crate::{
    Fdinfo, numbers_in, path,
    read::{again, reported},
    unable,
};
use floe_sys::Result;
use nix::{
    fcntl::{AtFlags, OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, fstat, fstatat},
};
use std::{
    fs::OpenOptions,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    },
};

/// The descriptor table of a process (proc_pid_fd(5), proc_pid_fdinfo(5)).
#[derive(Debug)]
pub struct Descriptors {
    pid: u32,
    links: OwnedFd,
    infos: OwnedFd,
}

impl Descriptors {
    /// Of a process. Reading them needs the right to trace it.
    pub fn of(pid: u32) -> Result<Self> {
        let open = |name: &str| {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            let dir = OpenOptions::new().read(true).custom_flags(flags).open(path(pid, name));
            dir.map(OwnedFd::from).map_err(|e| unable(pid, name, e))
        };
        Ok(Self { pid, links: open("fd")?, infos: open("fdinfo")? })
    }

    /// Their numbers, ascending. Listed are the files that are read of each of them: the kernel makes an inode of its own for
    /// everything that it lists, and many links are never read.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        numbers_in(path(self.pid, "fdinfo")).map_err(|e| reported(self.pid, "fdinfo", e))
    }

    /// What the link of a descriptor shows: a path, or `pipe:[77]` and the like.
    pub fn link(&self, fd: u32) -> Result<Vec<u8>> {
        let link = readlinkat(&self.links, fd.to_string().as_str());
        let link = link.map_err(|e| unable(self.pid, &format!("fd/{fd}"), e))?;
        Ok(link.into_vec())
    }

    /// stat(2) of the file behind a descriptor.
    pub fn stat(&self, fd: u32) -> Result<FileStat> {
        let stat = fstatat(&self.links, fd.to_string().as_str(), AtFlags::empty());
        stat.map_err(|e| unable(self.pid, &format!("fd/{fd}"), e))
    }

    /// Opens the file behind a descriptor anew.
    pub fn open(&self, fd: u32, flags: OFlag) -> Result<OwnedFd> {
        let file =
            openat(&self.links, fd.to_string().as_str(), flags | OFlag::O_CLOEXEC, Mode::empty());
        file.map_err(|e| unable(self.pid, &format!("fd/{fd}"), e))
    }

    /// Its fdinfo.
    pub fn info(&self, fd: u32) -> Result<Fdinfo> {
        self.open_info(fd)?.read()
    }

    /// Its fdinfo, to be read as often as it is asked for.
    pub fn open_info(&self, fd: u32) -> Result<OpenInfo> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.infos, fd.to_string().as_str(), flags, Mode::empty());
        let file = file.map_err(|e| unable(self.pid, &format!("fdinfo/{fd}"), e))?;
        Ok(OpenInfo { pid: self.pid, fd, file })
    }

    /// How many there are; `None` on a kernel that does not tell (before Linux 6.2).
    pub fn count(&self) -> Result<Option<usize>> {
        let stat = fstat(&self.links).map_err(|e| unable(self.pid, "fd", e))?;
        Ok(usize::try_from(stat.st_size).ok().filter(|count| *count > 0))
    }
}

/// An fdinfo that is open. It belongs to a number in the table of a process: whatever stands there when it is read is what it tells of.
#[derive(Debug)]
pub struct OpenInfo {
    pid: u32,
    fd: u32,
    file: OwnedFd,
}

impl OpenInfo {
    /// As it is now; ENOENT where nothing has the number.
    pub fn read(&self) -> Result<Fdinfo> {
        let info = again(&self.file).and_then(Fdinfo::parse);
        info.map_err(|e| unable(self.pid, &format!("fdinfo/{}", self.fd), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsRawFd};

    #[test]
    fn a_descriptor_of_ours_is_read() {
        let file = File::open("/dev/null").unwrap();
        let (me, fd) = (std::process::id(), file.as_raw_fd() as u32);
        let own = Descriptors::of(me).unwrap();
        assert!(own.numbers().unwrap().contains(&fd));
        assert_eq!(own.link(fd).unwrap(), b"/dev/null");
        assert_eq!(own.stat(fd).unwrap().st_rdev, libc::makedev(1, 3));
        assert_eq!(own.info(fd).unwrap(), Fdinfo::of(me, fd).unwrap());
        let open = own.open_info(fd).unwrap();
        assert_eq!(open.read().unwrap(), own.info(fd).unwrap());
        // Other tests open and close files, too.
        assert!(own.count().unwrap().is_none_or(|count| count > 2));
        let other = File::open("/proc/self/stat").unwrap();
        let mut file = OwnedFd::from(file);
        nix::unistd::dup2(&other, &mut file).unwrap();
        assert_eq!(open.read().unwrap().ino, own.stat(fd).unwrap().st_ino);
        drop(file);
        assert_eq!(own.info(1 << 20).unwrap_err().errno(), Some(libc::ENOENT));
        assert!(Descriptors::of(1 << 30).unwrap_err().is_gone());
    }
}
