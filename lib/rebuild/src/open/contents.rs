//! Contents of files that travel with the tree.

use super::OpenFiles;
use crate::{
    factory::set_status,
    mounts::files,
    object::{carried_file, nameless},
};
use floe_records::*;
use floe_sys::{Error, Result};
use std::{os::fd::AsFd, sync::PoisonError};

impl OpenFiles<'_> {
    /// Writes ranges of an object's content; `bytes` are those of all, one behind the other.
    pub fn write_object(&self, data: &ObjectData, mut bytes: &[u8]) -> Result<()> {
        let doing = "fill a nameless file";
        let gone = || Error::because(doing, "it was not announced");
        let writers = self.writers.read().unwrap_or_else(PoisonError::into_inner);
        let fd = self.make.objects.get(&data.id).or_else(|| writers.get(&data.id));
        let own = self.make.stands.mounts.files.writer(data.id)?;
        let fd = own.as_ref().or(fd);
        // A file that is there as it was needs no content.
        if fd.is_none() && self.tree.get::<CarriedFile>(data.id).is_some() {
            return Ok(());
        }
        let fd = fd.ok_or_else(gone)?;
        let object = self.tree.get::<Object>(data.id);
        let page = object.and_then(nameless::mapped_page);
        for &(offset, len) in data.ranges.as_slice() {
            let short = || Error::because(doing, "its content is too short");
            let (part, rest) = bytes.split_at_checked(len as usize).ok_or_else(short)?;
            bytes = rest;
            if let Some(page) = page {
                floe_sys::write_mapped(fd.as_fd(), page, offset, part)?;
                continue;
            }
            files::write(fd, offset, part)?;
        }
        Ok(())
    }

    /// Everything has been written: attributes, times, seals and status flags go on, and carried files get their names.
    pub fn seal(&self) -> Result<()> {
        self.make.stands.are_entered();
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        for (id, fd) in self.make.objects.iter().chain(writers.iter()) {
            let object = self.tree.get::<Object>(*id);
            let stands = &self.make.stands;
            object.map_or(Ok(()), |object| nameless::finish(object, fd, stands))?;
            let given = self.make.given.get(id).and_then(|file| self.tree.get::<OpenFile>(*file));
            given.map_or(Ok(()), |open| set_status(fd, open))?;
            let carried = self.tree.get::<CarriedFile>(*id);
            carried.map_or(Ok(()), |carried| carried_file::finish(carried, fd))?;
        }
        writers.clear();
        self.make.stands.mounts.files.seal(self.tree)?;
        self.make.carried.put()?;
        self.forget_events()
    }
}
