//! Message queues. One that has its name outlives the tree: it is taken as it is, if it is the same. Another one is made, and all
//! that the tree has open of it is opened while it still has a name, and while its permissions do not stand in the way.

use crate::{
    attributes::set_owner, factory::Factory, named::flags, resource::ForObject, stand::Stands,
};
use floe_records::{Bytes, FileId, FileRef, MessageQueue, ObjectId, OpenFile, Queue, Tree};
use floe_sys::{
    Error, QueueNotification, Result, make_queue, open_queue, queue_attributes, queue_notification,
    set_times, unlink_queue,
};
use nix::{
    fcntl::OFlag,
    sys::stat::{FileStat, SFlag, fstat},
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
};

/// What mq_open(3) is not asked for again: how the queue was made, and signals, which fcntl(2) asks for.
const NEVER: u32 = (libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_ASYNC) as u32;

/// A name that this restore has given to a queue; dropped, it is removed.
pub(crate) struct Made(Bytes);

impl Made {
    /// The restore has succeeded.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Who has removed it meanwhile has done our work.
        let _ = unlink_queue(&self.0.0);
    }
}

impl ForObject for Queue {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        let (tree, files) = (make.tree, make.of_queues.remove(&self.id).unwrap_or_default());
        let open =
            |file: FileId| Some((tree.get::<MessageQueue>(file)?, tree.get::<OpenFile>(file)?));
        let all: Vec<_> = files.into_iter().filter_map(open).collect();
        let Some((_, first)) = all.first() else { return Ok(()) };
        // What is only a path is opened for reading here.
        let how = flags(first) & OFlag::O_ACCMODE | OFlag::O_NONBLOCK;
        let tell = all.iter().any(|(it, _)| it.notified.is_some());
        let stands = &make.stands;
        let taken = stands.in_ipc(self.id.dev, || {
            let there = if self.removed { None } else { there(&self.name, how)? };
            let Some(queue) = there else { return again(self, &all, stands) };
            let stat = stat(&queue)?;
            stands.same.queue(self, &stat, queue_attributes(&queue)?)?;
            if tell {
                nobody_is_told(&self.name, &queue)?;
            }
            Ok((open_all(&all, &self.name, &stat, stands)?, None))
        })?;
        let (open, made) = taken;
        make.message_queues.extend(open);
        if let Some(named) = made {
            if self.messages > 0 {
                let many = self.messages;
                let note = format!("{}: made again, without its {many} messages", self.describe());
                make.notes.push(note);
            }
            // One in a namespace that restore has made goes with that.
            match named {
                Some(named) if make.stands.is_other_ipc(self.id.dev) => named.keep(),
                named => make.queue_names.extend(named),
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("message queue {}", self.name)
    }
}

/// What a tree has open of each queue.
pub(crate) fn descriptions(tree: &Tree) -> BTreeMap<ObjectId, Vec<FileId>> {
    let mut all: BTreeMap<ObjectId, Vec<FileId>> = BTreeMap::new();
    for it in tree.all::<MessageQueue>() {
        all.entry(it.queue).or_default().push(it.file);
    }
    all
}

/// The queue that has the name, if there is one.
fn there(name: &Bytes, how: OFlag) -> Result<Option<OwnedFd>> {
    match open_queue(&name.0, how.bits()) {
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

fn stat(queue: &OwnedFd) -> Result<FileStat> {
    fstat(queue).map_err(|e| Error::new("read a message queue", e))
}

/// Who is told of messages. The description may be open for writing only.
fn told(name: &Bytes, queue: &OwnedFd) -> Result<Option<QueueNotification>> {
    let reader = there(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok().flatten();
    queue_notification(reader.as_ref().unwrap_or(queue).as_fd())
}

/// Whether a message that has come while nobody was registered waits in a queue which was empty, and somebody is registered by now.
pub(crate) fn has_missed(was: &Queue, queue: &OwnedFd) -> Result<bool> {
    // In this order: a message behind the first look is told of.
    let waits = !was.removed && was.messages == 0 && queue_attributes(queue)?.messages > 0;
    Ok(waits && told(&was.name, queue)?.is_some())
}

/// One process at a time can be told of messages.
fn nobody_is_told(name: &Bytes, queue: &OwnedFd) -> Result<()> {
    match told(name, queue)? {
        None => Ok(()),
        Some(told) => {
            let what = format!("process {} is told of its messages by now", told.pid);
            Err(Error::because(format!("open {name}"), what))
        }
    }
}

/// Descriptions that were opened; where the queue had to be made for that, with its name unless that is removed.
type Opened = (Vec<(FileId, OwnedFd)>, Option<Option<Made>>);

/// Makes one that is gone.
fn again(was: &Queue, all: &[(&MessageQueue, &OpenFile)], stands: &Stands<'_>) -> Result<Opened> {
    if !was.removed && stands.same.must_be_there(&was.name) {
        return Err(Error::because(format!("open {}", was.name), "it is gone"));
    }
    let new = |name: &Bytes| make_queue(&name.0, was.max_messages, was.message_size);
    let (queue, name) = match new(&was.name) {
        // One that was removed can do without its name.
        Err(e) if was.removed && e.errno() == Some(libc::EEXIST) => {
            let name = format!("/.floe-{}-{}", std::process::id(), was.id.ino);
            let name = Bytes::from(&*name);
            (new(&name)?, name)
        }
        made => (made?, was.name.clone()),
    };
    let named = Made(name.clone());
    let open = open_all(all, &name, &stat(&queue)?, stands)?;
    let fail = |e| Error::new(format!("set the owner of {name}"), e);
    set_owner(&queue, (was.uid, was.gid), was.mode).map_err(fail)?;
    set_times(&queue, was.times)?;
    Ok((open, Some(Some(named).filter(|_| !was.removed))))
}

/// Opens all descriptions of a queue, each in the way that it was.
fn open_all(
    all: &[(&MessageQueue, &OpenFile)],
    name: &Bytes,
    queue: &FileStat,
    stands: &Stands<'_>,
) -> Result<Vec<(FileId, OwnedFd)>> {
    let mut opened = Vec::new();
    for (it, open) in all {
        let fd = match &it.path {
            Some(path) => by_path(path, name, open, queue, stands)?,
            None => {
                let cloexec = if it.cloexec { libc::O_CLOEXEC } else { 0 };
                open_queue(&name.0, (open.flags & !NEVER) as i32 | cloexec)?
            }
        };
        let found = stat(&fd)?;
        if (found.st_dev, found.st_ino) != (queue.st_dev, queue.st_ino) {
            return Err(Error::because(format!("open {name}"), "it was removed meanwhile"));
        }
        opened.push((it.file, fd));
    }
    Ok(opened)
}

/// By its path in a mounted mqueue, where that is one of this IPC namespace.
fn by_path(
    path: &FileRef,
    name: &Bytes,
    open: &OpenFile,
    queue: &FileStat,
    stands: &Stands<'_>,
) -> Result<OwnedFd> {
    let cut = path.path.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let path = FileRef { path: Bytes([&path.path.0[..cut], &name.0].concat()), ..path.clone() };
    let found = stands.found(open.pid, &path, SFlag::S_IFREG)?;
    if (found.stat.st_dev, found.stat.st_ino) != (queue.st_dev, queue.st_ino) {
        let what = format!("it is not the message queue {name} of the IPC namespace");
        return Err(Error::because(format!("open {}", path.path), what));
    }
    stands.open(open.pid, &path, &found, flags(open))
}
