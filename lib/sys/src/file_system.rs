//! Files of others: how they are opened, and what kind of file system they lie on, as far as it matters to those who want to
//! know a file again.

use crate::{Error, Result, check};
use nix::{
    fcntl::{OFlag, open},
    sys::{
        stat::Mode,
        statfs::{FsType, fstatfs},
    },
};
use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// Has a file opened so that reading it leaves no trace (O_NOATIME), where the caller may do that: another's file may be opened
/// in this way with CAP_FOWNER alone.
///
/// # Errors
/// Those of `open`.
pub fn unnoticed<T>(open: impl Fn(OFlag) -> Result<T>) -> Result<T> {
    match open(OFlag::O_NOATIME) {
        Err(e) if e.errno() == Some(libc::EPERM) => open(OFlag::empty()),
        other => other,
    }
}

/// Opens a file for reading that somebody else has, see [`unnoticed`].
///
/// # Errors
/// Those of open(2).
pub fn open_unnoticed(path: &Path) -> Result<File> {
    let read = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let fail = |e| Error::new(format!("open {}", path.display()), e);
    let opened = unnoticed(|flag| open(path, read | flag, Mode::empty()).map_err(fail));
    Ok(File::from(opened?))
}

/// Sets the times of the last access and the last change of an open file, also of one that is only a path: seconds, and nanoseconds
/// below 1e9.
///
/// # Errors
/// Those of utimensat(2).
pub fn set_times(file: impl AsFd, times: [(i64, u32); 2]) -> Result<()> {
    let times = times.map(|(sec, nsec)| libc::timespec { tv_sec: sec, tv_nsec: nsec.into() });
    let (fd, empty) = (file.as_fd().as_raw_fd(), c"");
    // SAFETY: the kernel reads an empty string and two times of ours.
    let done = unsafe { libc::utimensat(fd, empty.as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) };
    check(i64::from(done)).map(drop).map_err(|e| Error::new("set the times of a file", e))
}

/// A kind of file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystem {
    /// Inode numbers and times last as long as the files.
    Local,
    /// AUFS or overlayfs: inode numbers change with each mount.
    Union,
    /// A server sets the times, when it hears of a change.
    Network,
    /// FUSE: a process answers, which may be one that stands still, and inode numbers may be made up.
    Fuse,
    /// The kernel shows itself (proc, sysfs, control groups …): sizes and times mean nothing, and reading may do things.
    Kernel,
}

/// Magic numbers of `statfs::f_type`, as `linux/magic.h` and the file systems themselves have them.
const KNOWN: [(FileSystem, &[i64]); 4] = [
    (FileSystem::Union, &[0x794c_7630, 0x6175_6673]),
    // NFS, CIFS, SMB2, SMB, 9p, Ceph, AFS, Coda, OCFS2, GFS2.
    (
        FileSystem::Network,
        &[
            0x6969,
            0xff53_4d42,
            0xfe53_4d42,
            0x517b,
            0x0102_1997,
            0x00c3_6400,
            0x6b41_4653,
            0x7375_7245,
            0x7461_636f,
            0x0116_1970,
        ],
    ),
    (FileSystem::Fuse, &[0x6573_5546]),
    // proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, configfs, devpts, bpf, nsfs, selinuxfs, binfmt_misc, efivarfs,
    // pstore, mqueue, pidfd, fusectl, smackfs, apparmorfs, resctrl.
    (
        FileSystem::Kernel,
        &[
            0x9fa0,
            0x6265_6572,
            0x0027_e0eb,
            0x6367_7270,
            0x6462_6720,
            0x7472_6163,
            0x7363_6673,
            0x6265_6570,
            0x1cd1,
            0xcafe_4a11,
            0x6e73_6673,
            0xf97c_ff8c,
            0x4249_4e4d,
            0xde5e_81e4,
            0x6165_676c,
            0x1980_0202,
            0x5049_4446,
            0x6573_5543,
            0x4341_5d53,
            0x5a3c_69f0,
            0x0765_5821,
        ],
    ),
];

/// What kind of file system a file lies on; one that is only a path (O_PATH) will do.
///
/// # Errors
/// Those of fstatfs(2).
pub fn file_system(file: impl AsFd) -> Result<FileSystem> {
    let about = fstatfs(file).map_err(|e| Error::new("read what file system it lies on", e))?;
    let FsType(magic) = about.filesystem_type();
    // The type of the number depends on the libc; the numbers have 32 bits.
    let magic = i64::from(magic as u32);
    let known = KNOWN.iter().find(|(_, all)| all.contains(&magic));
    Ok(known.map_or(FileSystem::Local, |(kind, _)| *kind))
}

/// What stands in a file in front of byte `end`, at most `most` bytes; an error where it is not that long.
///
/// # Errors
/// Those of pread(2).
pub fn read_before(file: &File, end: u64, most: u64) -> Result<Vec<u8>> {
    let len = end.min(most);
    let mut bytes = vec![0; len as usize];
    let fail = |e| Error::new("read the end of a file", e);
    file.read_exact_at(&mut bytes, end - len).map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_the_kernel() {
        assert_eq!(
            file_system(File::open("/proc/self/stat").unwrap()).unwrap(),
            FileSystem::Kernel
        );
        let own = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_ne!(file_system(own).unwrap(), FileSystem::Kernel);
    }
}
