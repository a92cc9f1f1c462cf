//! Files without a name: shared anonymous memory, memfds, files that were removed.

use crate::{
    attributes::{set_last, set_owner},
    factory::Factory,
    resource::ForObject,
    segment,
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat},
    sys::stat::{Mode, fstat},
    unistd::{UnlinkatFlags, ftruncate, unlinkat},
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
        let fd = match &self.kind {
            ObjectKind::Segment(kept) => segment::make(self, kept, make)?,
            ObjectKind::Memfd(..) => {
                let ahead = make.ahead.remove(&self.id);
                ahead.unwrap_or_else(|| memfd(self, make.tree, &make.stands))?
            }
            kind => {
                let unreserved = make.unreserved.contains(&self.id);
                let fd = empty(make.tree, &make.stands, self, unreserved)?;
                if let Err(e) = set_owner(&fd, (self.uid, self.gid), self.mode) {
                    let e = Error::new("set the owner of a nameless file", e);
                    if *kind != ObjectKind::SharedAnon {
                        return Err(e);
                    }
                    // Only a descriptor of it from /proc/PID/map_files shows them.
                    make.notes.push(format!("shared memory {}: {e}", self.id.ino));
                }
                fd
            }
        };
        make.objects.insert(self.id, fd);
        Ok(())
    }

    fn describe(&self) -> String {
        match self.kind {
            ObjectKind::Segment(_) => format!("segment {} of System V shared memory", self.id.ino),
            _ => format!("nameless file {}", self.id.ino),
        }
    }
}

/// An empty memfd with its owner. It needs nothing of others.
pub(crate) fn memfd(object: &Object, tree: &Tree, stands: &Stands) -> Result<OwnedFd> {
    let fd = empty(tree, stands, object, false)?;
    let owned = set_owner(&fd, (object.uid, object.gid), object.mode);
    owned.map_err(|e| Error::new("set the owner of a nameless file", e))?;
    Ok(fd)
}

/// One with its size, and still empty.
fn empty(tree: &Tree, stands: &Stands, object: &Object, unreserved: bool) -> Result<OwnedFd> {
    let fail = |e| Error::new("make a nameless file", e);
    let fd = match &object.kind {
        // What backs shared memory cannot be made in another way. A descriptor of it may have changed its size.
        ObjectKind::SharedAnon => {
            let huge = object.huge.map_or(0, |huge| libc::MAP_HUGETLB as u32 | huge.flags());
            let none = if unreserved || huge != 0 { libc::MAP_NORESERVE as u32 } else { 0 };
            floe_sys::shared_memory(object.size.max(1), object.page_size(), huge | none)?.into()
        }
        ObjectKind::Memfd(name, seals) => {
            let name = CString::new(name.0.clone())
                .map_err(|_| Error::because("make a memfd", "its name has a zero in it"))?;
            let sealing = if *seals == SEAL_SEAL { 0 } else { MFD_ALLOW_SEALING };
            let huge = object.huge.map_or(0, |huge| libc::MFD_HUGETLB | huge.flags());
            floe_sys::memfd_create(&name, MFD_CLOEXEC | sealing | huge)?
        }
        ObjectKind::Secret => floe_sys::memfd_secret()?,
        ObjectKind::Deleted(path) => nameless(tree, stands, path, object.id.dev)?,
        ObjectKind::Segment(_) => return Err(Error::because("make it", "it is no file")),
    };
    ftruncate(fd.as_fd(), object.size as i64).map_err(fail)?;
    Ok(fd)
}

/// A file on the file system where the removed one was: in its directory, or the nearest one above that is left.
fn nameless(tree: &Tree, stands: &Stands, path: &Bytes, dev: u64) -> Result<OwnedFd> {
    let mut result = Err(Error::because("make a removed file again", "its directory is gone"));
    let full = Path::new(OsStr::from_bytes(&path.0));
    // One of a file system that was made again must lie there, in whichever mount namespace that is.
    let made = stands.mounts.files.device(dev);
    let there = |pid: Pid, directory: &Path| {
        let bytes = Bytes(directory.as_os_str().as_bytes().to_vec());
        let fd = stands.bytes(pid, &bytes, OFlag::O_PATH | OFlag::O_DIRECTORY).ok()?;
        let here = made.is_none_or(|made| fstat(&fd).is_ok_and(|stat| stat.st_dev == made));
        here.then_some(fd)
    };
    let pids = stands.spaces_of(tree);
    let all = full.ancestors().skip(1);
    for (directory, pid) in all.flat_map(|directory| pids.iter().map(move |pid| (directory, *pid)))
    {
        let Some(fd) = there(pid, directory) else { continue };
        result = nameless_in(&fd, full.file_name().unwrap_or_default())
            .map_err(|e| Error::new(format!("make a nameless file in {}", directory.display()), e));
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Whether a file never had a name: the kernel shows its inode instead. Only such a one can be given a name (linkat(2)).
fn is_unnamed(name: &OsStr) -> bool {
    let number = name.as_bytes().strip_prefix(b"#");
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn nameless_in(dir: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    // The kernel goes on showing the name that a removed file has had.
    if !is_unnamed(name) {
        match removed(dir, name) {
            // Somebody else has the name by now, or may not have it.
            Err(Errno::EEXIST | Errno::ENAMETOOLONG) => {}
            made => return made,
        }
    }
    match openat(dir, ".", HOW | OFlag::O_TMPFILE, MODE) {
        // Union file systems have learned it late (overlayfs in Linux 6.3).
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EISDIR) => {}
        made => return made,
    }
    for n in 0.. {
        let name = format!(".floe-{}-{n}", std::process::id());
        match removed(dir, name.as_ref()) {
            Err(Errno::EEXIST) => {}
            made => return made,
        }
    }
    Err(Errno::EEXIST)
}

const HOW: OFlag = OFlag::O_RDWR.union(OFlag::O_CLOEXEC);
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// A file that is removed at once.
fn removed(dir: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    let fd = openat(dir, name, HOW | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW, MODE)?;
    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir).map(|()| fd)
}

/// Bytes of a page of one that can be written only by a mapping.
pub(crate) fn mapped_page(object: &Object) -> Option<u64> {
    let mapped = object.huge.is_some() || object.kind == ObjectKind::Secret;
    mapped.then(|| object.page_size())
}

/// Everything is written and mapped: attributes and times go on, and at last the seals.
pub(crate) fn finish(object: &Object, fd: &OwnedFd, stands: &Stands<'_>) -> Result<()> {
    if let ObjectKind::Segment(kept) = &object.kind {
        return stands.in_ipc(object.id.dev, || segment::finish(object, kept));
    }
    set_last(fd, &object.attributes, object.times)?;
    seal(object, fd)
}

fn seal(object: &Object, fd: &OwnedFd) -> Result<()> {
    let ObjectKind::Memfd(_, seals) = object.kind else { return Ok(()) };
    if seals == 0 || seals == SEAL_SEAL {
        return Ok(());
    }
    let seals = SealFlag::from_bits_retain(seals as i32);
    fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(seals))
        .map(drop)
        .map_err(|e| Error::new("seal a memfd", e))
}
