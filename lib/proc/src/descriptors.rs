//! The descriptors of one process, read relative to its open directories: with thousands of them, walking the path
//! /proc/PID/fdinfo for each costs more than the reads.

use crate::{
    Fdinfo, numbers_in, path,
    read::{drain, reported},
    unable,
};
use floe_sys::Result;
use nix::{
    fcntl::{AtFlags, OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, fstatat},
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
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.infos, fd.to_string().as_str(), flags, Mode::empty());
        let text = file.map_err(Into::into).and_then(|file| drain(file, true));
        let info = text.and_then(Fdinfo::parse);
        info.map_err(|e| unable(self.pid, &format!("fdinfo/{fd}"), e))
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
        drop(file);
        assert_eq!(own.info(1 << 20).unwrap_err().errno(), Some(libc::ENOENT));
        assert!(Descriptors::of(1 << 30).unwrap_err().is_gone());
    }
}
