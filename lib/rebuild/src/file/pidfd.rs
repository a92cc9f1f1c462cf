//! pidfd_open(2), when all processes exist. One whose process has been waited for is the handle of a process that is started
//! to end at once, in the same way.

use crate::{factory::with_status, resource::ForFile};
use floe_records::{FileId, OpenFile, Pidfd, PidfdTarget, Tree};
use floe_sys::{Error, Result, pidfd_open, pidfd_open_thread, pidfds_of_ended};
use std::{collections::BTreeMap, os::fd::OwnedFd};

impl ForFile for Pidfd {
    /// All handles of a process that has been waited for are opened before it is waited for again: it has one inode.
    fn late(
        &self,
        open: &OpenFile,
        tree: &Tree,
        made: &mut BTreeMap<FileId, OwnedFd>,
    ) -> Result<OwnedFd> {
        if let Some(fd) = made.remove(&self.file) {
            return Ok(fd);
        }
        let fd = match self.target {
            PidfdTarget::Process(pid) if is_of_thread(tree, self.file)? => {
                pidfd_open_thread(pid.0 as i32)
            }
            PidfdTarget::Process(pid) => pidfd_open(pid.0 as i32),
            PidfdTarget::Thread(_, tid) => pidfd_open_thread(tid.0 as i32),
            PidfdTarget::Ended(status) => {
                let same = |other: &&Pidfd| {
                    self.inode.is_some() && (other.inode, other.target) == (self.inode, self.target)
                };
                let others = tree.all::<Pidfd>().iter().filter(same).map(|other| other.file);
                let others = others.filter(|file| *file != self.file);
                let files: Vec<FileId> = std::iter::once(self.file).chain(others).collect();
                let threads: Vec<bool> =
                    files.iter().map(|file| is_of_thread(tree, *file)).collect::<Result<_>>()?;
                let mut fds = pidfds_of_ended(status.unwrap_or(0), &threads)?.into_iter();
                let own = fds.next();
                for (file, fd) in files.into_iter().skip(1).zip(fds) {
                    made.insert(file, with_status(fd, description(tree, file)?)?);
                }
                own.ok_or_else(|| Error::because("open a pidfd", "there is none"))
            }
        };
        with_status(fd?, open)
    }
}

fn description(tree: &Tree, file: FileId) -> Result<&OpenFile> {
    tree.get::<OpenFile>(file)
        .ok_or_else(|| Error::because("open a pidfd", "it has no description"))
}

/// PIDFD_THREAD.
fn is_of_thread(tree: &Tree, file: FileId) -> Result<bool> {
    Ok(description(tree, file)?.flags & libc::O_EXCL as u32 != 0)
}
