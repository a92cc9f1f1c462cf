//! Where a file will be: an open directory and a name in it, so that nothing on the way can be exchanged.

use crate::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
    unistd::geteuid,
};
use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

/// As many symbolic links as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// A sticky directory that anyone may write to, such as /tmp.
const SHARED: u32 = libc::S_ISVTX | libc::S_IWOTH;

/// A directory, and the name of a regular file in it or of none.
pub(crate) struct Place {
    pub dir: OwnedFd,
    pub name: OsString,
    /// What the caller calls it, for messages.
    pub shown: PathBuf,
}

impl Place {
    /// Finds where `target` leads. A symbolic link stays one: it is the file it leads to that will be replaced, or made.
    ///
    /// # Errors
    /// Those of openat(2) and readlinkat(2); where something else than a regular file is there; and for a link of another
    /// user in a directory like /tmp, which the kernel does not follow either (fs.protected_symlinks, proc(5)).
    pub fn resolve(target: &Path) -> Result<Self> {
        let fail = |cause: io::Error| Error::file("write", target, cause);
        let errno = |errno: Errno| fail(errno.into());
        let (dir, mut name) = split(target).map_err(fail)?;
        let mut dir = open(AT_FDCWD, &dir).map_err(errno)?;
        for _ in 0..MAX_LINKS {
            let about = match fstatat(&dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => None,
                about => Some(about.map_err(errno)?),
            };
            match about
                .as_ref()
                .map(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT)
            {
                None | Some(SFlag::S_IFREG) => {
                    return Ok(Self { dir, name, shown: target.to_owned() });
                }
                Some(SFlag::S_IFLNK) => {}
                Some(_) => {
                    return Err(fail(io::Error::other("it is there, and is no regular file")));
                }
            }
            if let Some(link) = about
                && !trusted(&link, &fstat(&dir).map_err(errno)?)
            {
                let what =
                    "it is a symbolic link of another user in a directory that anyone may write to";
                return Err(fail(io::Error::other(what)));
            }
            let to = readlinkat(&dir, name.as_os_str()).map_err(errno)?;
            let (next, file) = split(Path::new(&to)).map_err(fail)?;
            dir = open(&dir, &next).map_err(errno)?;
            name = file;
        }
        Err(errno(Errno::ELOOP))
    }
}

/// Whether a link may be followed: it was made by the caller or by the owner of a directory that many share.
fn trusted(link: &FileStat, dir: &FileStat) -> bool {
    dir.st_mode & SHARED != SHARED || [geteuid().as_raw(), dir.st_uid].contains(&link.st_uid)
}

fn split(path: &Path) -> io::Result<(PathBuf, OsString)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    let dir = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((dir, name.to_owned()))
}

fn open(at: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}
