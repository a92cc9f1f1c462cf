//! Files without a name: shared anonymous memory, memfds, files that were removed.

use crate::{factory::Factory, resource::ForObject, stand::Stands};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat},
    sys::stat::{Mode, fchmod},
    unistd::{Gid, Uid, UnlinkatFlags, fchown, ftruncate, unlinkat},
};
use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const MFD_CLOEXEC: u32 = 1;
const MFD_ALLOW_SEALING: u32 = 2;
/// F_SEAL_SEAL: what a memfd has from the start when nobody asked for seals.
const SEAL_SEAL: u32 = 1;

impl ForObject for Object {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        let fd = empty(make.tree, &make.stands, self)?;
        make.objects.insert(self.id, fd);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("nameless file {}", self.id.ino)
    }
}

/// One with its size, and still empty.
fn empty(tree: &Tree, stands: &Stands, object: &Object) -> Result<OwnedFd> {
    let fail = |e| Error::new("make a nameless file", e);
    let fd = match &object.kind {
        // What backs shared memory cannot be made in another way; it has its size already.
        ObjectKind::SharedAnon => return Ok(floe_sys::shared_memory(object.size)?.into()),
        ObjectKind::Memfd(name, seals) => {
            let name = CString::new(name.0.clone())
                .map_err(|_| Error::because("make a memfd", "its name has a zero in it"))?;
            let sealing = if *seals == SEAL_SEAL { 0 } else { MFD_ALLOW_SEALING };
            floe_sys::memfd_create(&name, MFD_CLOEXEC | sealing)?
        }
        ObjectKind::Deleted(path) => nameless(tree, stands, path)?,
    };
    ftruncate(fd.as_fd(), object.size as i64).map_err(fail)?;
    fchown(fd.as_fd(), Some(Uid::from_raw(object.uid)), Some(Gid::from_raw(object.gid)))
        .map_err(fail)?;
    fchmod(fd.as_fd(), Mode::from_bits_truncate(object.mode)).map_err(fail)?;
    Ok(fd)
}

/// A file on the file system where the removed one was: in its directory, or the nearest one above that is left.
fn nameless(tree: &Tree, stands: &Stands, path: &Bytes) -> Result<OwnedFd> {
    let mut result = Err(Error::because("make a removed file again", "its directory is gone"));
    let Some(root) = tree.root() else { return result };
    for directory in Path::new(OsStr::from_bytes(&path.0)).ancestors().skip(1) {
        let bytes = Bytes(directory.as_os_str().as_bytes().to_vec());
        let Ok(fd) = stands.bytes(root.pid, &bytes, OFlag::O_PATH | OFlag::O_DIRECTORY) else {
            continue;
        };
        result = nameless_in(&fd)
            .map_err(|e| Error::new(format!("make a nameless file in {}", directory.display()), e));
        if result.is_ok() {
            break;
        }
    }
    result
}

fn nameless_in(dir: &OwnedFd) -> nix::Result<OwnedFd> {
    let how = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    match openat(dir, ".", how | OFlag::O_TMPFILE, mode) {
        // Union file systems have learned it late (overlayfs in Linux 6.3).
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EISDIR) => {}
        made => return made,
    }
    for n in 0.. {
        let name = format!(".floe-{}-{n}", std::process::id());
        match openat(dir, name.as_str(), how | OFlag::O_CREAT | OFlag::O_EXCL, mode) {
            Err(Errno::EEXIST) => {}
            made => {
                let fd = made?;
                return unlinkat(dir, name.as_str(), UnlinkatFlags::NoRemoveDir).map(|()| fd);
            }
        }
    }
    Err(Errno::EEXIST)
}

/// Puts the seals on, when everything is written and mapped.
pub(crate) fn seal(object: &Object, fd: &OwnedFd) -> Result<()> {
    let ObjectKind::Memfd(_, seals) = object.kind else { return Ok(()) };
    if seals == 0 || seals == SEAL_SEAL {
        return Ok(());
    }
    let seals = SealFlag::from_bits_retain(seals as i32);
    fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(seals))
        .map(drop)
        .map_err(|e| Error::new("seal a memfd", e))
}
