//! Descriptions of files without a name.

use crate::{
    factory::{Factory, reopen},
    named::{flags, seek},
    resource::ForFile,
};
use floe_records::{NamelessFile, Object, ObjectKind, OpenFile};
use floe_sys::{Error, Result};
use nix::fcntl::OFlag;
use std::os::fd::OwnedFd;

impl ForFile for NamelessFile {
    /// The description that memfd_create(2) gives does not keep the file from being executed (ETXTBSY), as every other one does
    /// that is open for writing: so it goes to the first that is like it.
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (flags, object) = (flags(open), make.object(self.object)?);
        let kind = make.tree.get::<Object>(self.object).map(|object| &object.kind);
        let is_like = matches!(kind, Some(ObjectKind::Memfd(..)))
            && flags & OFlag::O_ACCMODE == OFlag::O_RDWR
            && !make.given.contains_key(&self.object);
        let fd = if is_like {
            let fd = object.try_clone().map_err(|e| Error::new("open a memfd", e))?;
            make.given.insert(self.object, self.file);
            fd
        } else {
            reopen(object, flags)?
        };
        seek(&fd, open)?;
        Ok(fd)
    }
}
