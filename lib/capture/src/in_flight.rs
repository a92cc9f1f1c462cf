//! Descriptors on their way (SCM_RIGHTS of unix(7)): a peek at the queue gives duplicates of ours, which are described as all others
//! are, and found to be the same descriptions where they are.

use crate::{
    Result,
    describing::Describing,
    entry::{Holder, Slot},
    files::Files,
    object::socket_queue::{self, Read},
};
use floe_records::{
    AnyRecord, Carried, Epoll, External, FileId, Finding, Findings, OpenFile, Pid, Record,
    UnixSocket,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsRawFd, OwnedFd},
    sync::PoisonError,
};

impl Describing<'_> {
    /// Reads all queues, and describes what is on its way in them, in turn: that may be sockets with queues of their own, or peers
    /// of others. Gives the duplicates.
    pub(crate) fn in_flight(&mut self) -> Result<Vec<OwnedFd>> {
        let (mut done, mut duplicates) = (BTreeSet::new(), Vec::new());
        let mut receivers = BTreeMap::new();
        loop {
            let next: BTreeSet<FileId> =
                self.own_sockets().into_iter().filter(|id| !done.contains(id)).collect();
            if next.is_empty() {
                return Ok(duplicates);
            }
            for read in socket_queue::read(&self.files, |id| next.contains(&id), self.out)? {
                self.describe_queue(read, &mut receivers, &mut duplicates)?;
            }
            done.extend(next);
        }
    }

    /// Sockets with a queue that is the tree's: of those whose peer is outside, that is the outside's.
    fn own_sockets(&self) -> Vec<FileId> {
        let sockets = || {
            self.files.of::<UnixSocket>().filter_map(|(open, what)| match what {
                AnyRecord::UnixSocket(socket) => Some((open.id, socket)),
                _ => None,
            })
        };
        let inside: BTreeSet<u64> = sockets().map(|(_, socket)| socket.ino).chain([0]).collect();
        let own = |socket: &UnixSocket| {
            let named =
                socket.sock_type as i32 == libc::SOCK_DGRAM && !socket.peer_name.0.is_empty();
            named || socket.peer.is_none_or(|peer| inside.contains(&peer))
        };
        sockets().filter(|(_, socket)| own(socket)).map(|(id, _)| id).collect()
    }

    fn describe_queue(
        &mut self,
        read: Read,
        receivers: &mut BTreeMap<Pid, Holder>,
        duplicates: &mut Vec<OwnedFd>,
    ) -> Result<()> {
        let Read { pid, mut queue, carried } = read;
        for (message, fds) in carried {
            let holder = match receivers.remove(&pid) {
                Some(holder) => holder,
                None => Holder::receiver(pid.0)?,
            };
            let mut files = Vec::with_capacity(fds.len());
            for fd in &fds {
                let entry = holder.entry(Slot::of(fd.as_raw_fd() as u32), None)?;
                files.extend(self.descriptor(&holder, &entry)?.map(|found| found.file));
            }
            receivers.insert(pid, holder);
            duplicates.extend(fds);
            let at = queue.carried.binary_search_by_key(&message, |it: &Carried| it.message);
            if let Ok(at) = at {
                queue.carried[at].files = files;
            }
        }
        self.files.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
        Ok(())
    }
}

/// Refuses descriptions that are on their way and that no process has, of kinds that take one to be made again.
pub(crate) fn check_alone(files: &Files, out: &mut Findings) {
    let queues = files.queues.lock().unwrap_or_else(PoisonError::into_inner);
    if queues.iter().all(|queue| queue.carried.is_empty()) {
        return;
    }
    let held: BTreeSet<FileId> =
        files.tables.iter().flat_map(|table| &table.fds).map(|fd| fd.file).collect();
    for (queue, id) in queues.iter().flat_map(|queue| queue.files().map(move |id| (queue, id))) {
        let OpenFile { kind, pid, .. } = files.all[id.0 as usize].0;
        let what = match kind {
            _ if held.contains(&id) => continue,
            Epoll::KIND => "an epoll instance",
            External::KIND => "a file of the outside",
            _ => continue,
        };
        let problem = format!("{what} that nobody has open is on its way in it");
        let object = format!("what is queued in socket {}", queue.ino);
        out.refuse(Finding::of(pid, object, "descriptor.flight", problem));
    }
}
