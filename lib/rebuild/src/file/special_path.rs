//! Descriptors that are only a path of something special: it is opened as such, which has no effect on what it is.

use crate::{factory::Factory, named::flags, resource::ForFile};
use floe_records::{OpenFile, SpecialPath};
use floe_sys::{Error, Result};
use nix::fcntl::OFlag;
use std::os::fd::OwnedFd;

impl ForFile for SpecialPath {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let doing = || format!("open {}", self.name.path);
        let (path, found) = make.stands.named(open.pid, &self.name)?;
        if found.stat.st_mode & libc::S_IFMT != self.kind {
            return Err(Error::because(doing(), "it is of another kind now"));
        }
        if found.stat.st_rdev != self.rdev {
            return Err(Error::because(doing(), "it is another device now"));
        }
        // The file of a device or of a socket is made anew with each start of a system or server.
        if ![libc::S_IFCHR, libc::S_IFBLK, libc::S_IFSOCK].contains(&self.kind) {
            make.stands.same.inode(&self.name, &found)?;
        }
        if flags(open).contains(OFlag::O_NOFOLLOW) {
            return Ok(path);
        }
        make.stands.open(open.pid, &self.name, &found, flags(open) | OFlag::O_PATH)
    }
}
