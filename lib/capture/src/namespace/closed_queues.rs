//! POSIX message queues of IPC namespaces that nobody has open.

use crate::{Result, inode, own_spaces, resource::OfNamespace};
use floe_records::{ClosedQueues, NsKind, ObjectId, Queue, Tree};
use floe_sys::{Error, fsconfig_create, fsmount, fsopen, open_queue, queue_attributes};
use std::{
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::PathBuf,
};

impl OfNamespace for ClosedQueues {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        own_spaces::each(tree, NsKind::Ipc, |id| {
            let all = all(|queue| tree.get::<Queue>(queue).is_some())?;
            Ok(if all.is_empty() { Vec::new() } else { vec![ClosedQueues { id, all }] })
        })
    }
}

/// All queues of our IPC namespace but for those that the tree has open, by name.
pub(crate) fn all(is_open: impl Fn(ObjectId) -> bool) -> Result<Vec<Queue>> {
    let fail = |e| Error::new("list the message queues of its IPC namespace", e);
    let fs = match fsopen(b"mqueue") {
        // A kernel without them.
        Err(e) if e.errno() == Some(libc::ENODEV) => return Ok(Vec::new()),
        fs => fs?,
    };
    fsconfig_create(fs.as_fd())?;
    let mount = fsmount(fs.as_fd(), 0)?;
    let mut all = Vec::new();
    let directory = PathBuf::from(format!("/proc/thread-self/fd/{}", mount.as_raw_fd()));
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let about = entry.metadata().map_err(fail)?;
        let id = ObjectId { dev: about.dev(), ino: about.ino() };
        if is_open(id) {
            continue;
        }
        let name = [b"/", entry.file_name().as_bytes()].concat();
        let queue = match open_queue(&name, libc::O_RDONLY | libc::O_NONBLOCK) {
            // It has just been removed.
            Err(e) if e.errno() == Some(libc::ENOENT) => continue,
            queue => queue?,
        };
        let attributes = queue_attributes(&queue)?;
        all.push(Queue {
            id,
            name: name.into(),
            removed: false,
            max_messages: attributes.max_messages,
            message_size: attributes.message_size,
            messages: attributes.messages,
            mode: about.mode() & 0o7777,
            uid: about.uid(),
            gid: about.gid(),
            times: inode::times(&about),
        });
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}
