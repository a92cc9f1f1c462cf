//! Descriptions of files without a name.

use crate::{
    factory::{Factory, STATUS, reopen},
    named::{TMPFILE, flags, seek},
    resource::ForFile,
};
use floe_records::{NamelessFile, Object, ObjectKind, OpenFile};
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::OwnedFd;

impl ForFile for NamelessFile {
    /// The description that memfd_create(2) gives does not keep the file from being executed (ETXTBSY), as every other one does
    /// that is open for writing; that of O_TMPFILE shows this flag, and that of a file that had a name shows O_NOFOLLOW, as
    /// mkstemp(3) and shm_open(3) leave it, and no other way to open the file does: so it goes to the first that is like it.
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let object = make.object(self.object)?;
        let kind = make.tree.get::<Object>(self.object).map(|object| &object.kind);
        let first = matches!(kind, Some(ObjectKind::Memfd(..) | ObjectKind::Secret))
            || open.flags & TMPFILE != 0
            || flags(open).contains(OFlag::O_NOFOLLOW);
        let fail = |e| Error::new("open a file without a name", e);
        let made = fcntl(object, FcntlArg::F_GETFL).map_err(fail)? as u32;
        let is_like = (made ^ open.flags) & !(STATUS.bits() as u32) == 0;
        let fd = if first && is_like && !make.given.contains_key(&self.object) {
            let fd = object.try_clone().map_err(|e| Error::new("open a memfd", e))?;
            make.given.insert(self.object, self.file);
            fd
        } else {
            reopen(object, flags(open))?
        };
        seek(&fd, open)?;
        Ok(fd)
    }
}
