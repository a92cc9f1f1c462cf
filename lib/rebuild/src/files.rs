//! The files of a tree, made in restore before the first process is: stubs get them by fork.
//!
//! One small file for each kind; [`Maker`] is what they share.

mod epoll;
mod eventfd;
mod external;
mod inet;
mod locks;
mod named;
mod object;
mod owner;
mod pipe;
mod place;
mod signalfd;
mod sockets;
mod terminal;
mod timerfd;
mod unix;

pub(crate) use locks::take as take_lock;
pub(crate) use place::Places;
pub use terminal::Modes;

use floe_plan::Tree;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::stat::Mode,
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Status flags that fcntl(2) can set on what was not opened by name.
const STATUS: OFlag =
    OFlag::O_NONBLOCK.union(OFlag::O_APPEND).union(OFlag::O_ASYNC).union(OFlag::O_DIRECT);

/// Makes files; undoes what it did outside of itself when it is dropped before [`Maker::keep`].
pub(crate) struct Maker<'a> {
    pub tree: &'a Tree,
    inherit: &'a [u32],
    pub places: Places,
    pub objects: BTreeMap<ObjectId, OwnedFd>,
    pipes: BTreeMap<ObjectId, (OwnedFd, OwnedFd)>,
    fifos: BTreeMap<ObjectId, OwnedFd>,
    unix: BTreeMap<u64, OwnedFd>,
    nodes: Vec<unix::Node>,
    lent: Vec<unix::Lent>,
}

impl<'a> Maker<'a> {
    /// Makes what files lie on: nameless files and sockets.
    pub fn new(
        tree: &'a Tree,
        places: Places,
        inherit: &'a [u32],
        say: &mut dyn FnMut(String, Error),
    ) -> Self {
        let (pipes, fifos) = (BTreeMap::new(), BTreeMap::new());
        let (nodes, lent) = (Vec::new(), Vec::new());
        let (objects, unix) = (BTreeMap::new(), BTreeMap::new());
        let mut make = Self { tree, inherit, places, objects, pipes, fifos, unix, nodes, lent };
        for (id, object) in &tree.objects {
            match object::make(tree, &make.places, object) {
                Ok(fd) => drop(make.objects.insert(*id, fd)),
                Err(e) => say(format!("nameless file {}", id.ino), e),
            }
        }
        unix::make_all(&mut make, &mut |id, e| say(tree.describe(id), e));
        make
    }

    /// An open file description.
    pub fn file(&mut self, file: &OpenFile) -> Result<OwnedFd> {
        let fd = match &file.what {
            FileKind::Regular(name, size) => return named::regular(self, file, name, *size),
            FileKind::Directory(name) => return named::directory(self, file, name),
            FileKind::Device(name, rdev) => return named::device(self, file, name, *rdev),
            FileKind::Fifo(name) => return named::fifo(self, file, name),
            FileKind::Pipe(id) => return pipe::pipe(self, file, *id),
            FileKind::External(what) => return external::external(self, file, what),
            FileKind::Object(id) => {
                let gone = || Error::because("open it", "its content is not in the stream");
                let fd = reopen(self.objects.get(id).ok_or_else(gone)?, named::flags(file))?;
                named::seek(&fd, file)?;
                return Ok(fd);
            }
            FileKind::Eventfd(count, semaphore) => eventfd::eventfd(*count, *semaphore)?,
            FileKind::Timerfd(timer) => timerfd::timerfd(timer)?,
            FileKind::Signalfd(mask) => signalfd::signalfd(*mask)?,
            FileKind::Epoll(_) => epoll::epoll()?,
            FileKind::Tcp(socket) => inet::tcp(socket)?,
            FileKind::Udp(socket) => inet::udp(socket)?,
            FileKind::Unix(socket) => self
                .unix
                .remove(&socket.ino)
                .ok_or_else(|| Error::because("make a UNIX socket", "it could not be made"))?,
        };
        let flags = OFlag::from_bits_truncate(file.flags as i32) & STATUS;
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags))
            .map_err(|e| Error::new("set the flags of an open file", e))?;
        Ok(fd)
    }

    /// What an outside file is where it has one of the numbers that restore knows.
    pub fn standard(&self, file: &OpenFile, number: FdNum) -> Result<Option<OwnedFd>> {
        match file.what {
            FileKind::External(_) => external::by_number(self, file.id, number.0),
            _ => Ok(None),
        }
    }

    /// Opens a path as the process that it was read from would.
    fn path(&self, file: &OpenFile, name: &FileRef, flags: OFlag) -> Result<OwnedFd> {
        self.places.path(file.pid, name, flags)
    }

    /// Does something where the first process that has the file stands.
    fn within<T>(&self, id: FileId, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let nobody = || Error::because("make a socket", "no process has it");
        let (pid, _) = self.tree.holder(id).ok_or_else(nobody)?;
        self.places.within(pid, work)
    }

    /// Puts the seals on.
    pub fn seal(&self) -> Result<()> {
        for (id, fd) in &self.objects {
            self.tree.objects.get(id).map_or(Ok(()), |object| object::seal(object, fd))?;
        }
        Ok(())
    }

    /// The restore has succeeded.
    pub fn keep(&mut self) {
        self.nodes.clear();
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.undo(&self.places);
        }
    }
}

/// A description of its own of what a descriptor names.
pub(crate) fn reopen(fd: &OwnedFd, flags: OFlag) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // The link is there to be followed.
    let flags = (flags | OFlag::O_CLOEXEC) & !OFlag::O_NOFOLLOW;
    open(path.as_str(), flags, Mode::empty()).map_err(|e| Error::new("open a file again", e))
}
