//! Message queues that are open, by mq_open(3) or by a path of a mounted mqueue, and who is told of their messages.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    path::DELETED,
    resource::OfFile,
};
use floe_records::{
    AnyRecord, Bytes, FdNum, FileId, FileRef, Finding, Findings, MessageQueue, Notified, ObjectId,
    OpenFile, Pid, Queue,
};
use floe_sys::{
    QueueNotification, Shared, kcmp_shared, open_queue, queue_attributes, queue_notification,
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::fstat,
};
use std::{
    cmp::Ordering,
    os::fd::{AsFd, OwnedFd},
};

pub(crate) const RULE: &str = "file.queue";

/// A queue of the tree, and who is told of its messages.
pub(crate) type State = (Queue, Option<QueueNotification>);

impl OfFile for MessageQueue {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_file() && seen.is_queue()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let path = path(seen)?;
        if !is_removed(seen) && !has_name(seen)? {
            let what = "no queue of an IPC namespace of the tree has that name and is this one";
            return Err(Problem::new(RULE, what));
        }
        reader(seen)?;
        let ((dev, ino), pid) = (seen.inode(), Pid(seen.pid));
        let cloexec = seen.context.taking && has_cloexec(seen)?;
        Ok(MessageQueue { file, pid, queue: ObjectId { dev, ino }, path, cloexec, notified: None })
    }

    /// Finds the descriptor that somebody is told of messages by.
    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let mut all = Vec::new();
        for (queue, notification) in files.message_queues.values() {
            // Who is told outside of the tree goes on being told.
            let told = notification.filter(|told| files.pids.contains(&Pid(told.pid)));
            all.extend(told.map(|told| (queue.clone(), told)));
        }
        for (queue, told) in all {
            let finding = |rule, problem: String| {
                Finding::of(Pid(told.pid), format!("message queue {}", queue.name), rule, problem)
            };
            if told.how == libc::SIGEV_THREAD {
                let problem = "it is told of messages by a thread (SIGEV_THREAD of mq_notify(3))";
                out.refuse(finding(RULE, problem.to_owned()));
                continue;
            }
            if shares_table(files, told.pid) {
                // It is removed when the process itself closes a descriptor, and not when the last one that shares the table does.
                let problem = "it is told of messages, and shares its descriptors with another process: the \
                    kernel may keep the notification when both have ended";
                out.refuse(finding(RULE, problem.to_owned()));
                continue;
            }
            let Some((mut record, notified)) = descriptor(files, &queue, &told) else {
                let problem = "it is told of messages, and has closed its descriptor";
                out.refuse(finding(RULE, problem.to_owned()));
                continue;
            };
            if let Some(signal) = notified.signal {
                let problem = format!(
                    "the value (sigev_value) of signal {signal} that tells of messages: it will be 0"
                );
                out.lose(finding("queue.value", problem));
            }
            record.notified = Some(notified);
            files.replace(record.file, record);
        }
        Ok(())
    }
}

/// Whether another process has the descriptor table of a process.
fn shares_table(files: &Files, pid: u32) -> bool {
    let same = |other: &Pid| {
        let order = || kcmp_shared(pid as i32, other.0 as i32, Shared::Files);
        other.0 != pid && order().is_ok_and(|order| order == Ordering::Equal)
    };
    files.pids.iter().any(same)
}

/// A descriptor of the process that is told of messages.
fn descriptor(
    files: &Files,
    queue: &Queue,
    told: &QueueNotification,
) -> Option<(MessageQueue, Notified)> {
    let table = files.tables.iter().find(|table| table.pid.0 == told.pid)?;
    table.fds.iter().find_map(|fd| match &files.all[fd.file.0 as usize] {
        (open, AnyRecord::MessageQueue(it)) if it.queue == queue.id && !is_path(open) => {
            let signal = (told.how == libc::SIGEV_SIGNAL).then_some(told.signal);
            Some((it.clone(), Notified { pid: Pid(told.pid), fd: fd.fd, signal }))
        }
        _ => None,
    })
}

fn is_path(open: &OpenFile) -> bool {
    open.flags & libc::O_PATH as u32 != 0
}

/// Whether no name leads to it any more. It never has a second one.
fn is_removed(seen: &Descriptor<'_>) -> bool {
    seen.stat.nlink == 0
}

/// The name in the IPC namespace, with its slash.
fn name(seen: &Descriptor<'_>) -> Vec<u8> {
    let bare = seen.link.strip_suffix(DELETED).filter(|_| is_removed(seen)).unwrap_or(seen.link);
    let cut = bare.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    bare[cut..].to_vec()
}

/// The path that it was opened by; `None` for mq_open(3), which shows the name alone.
fn path(seen: &Descriptor<'_>) -> Result<Option<FileRef>, Problem> {
    let leads = seen.name().is_some_and(|name| name.leads);
    let bare = seen.link.iter().filter(|byte| **byte == b'/').count() == 1;
    if !leads && bare {
        return Ok(None);
    }
    let Some(name) = seen.name().filter(|_| is_removed(seen)) else {
        return seen.file().map(Some);
    };
    let ((dev, ino), mnt_id) = (seen.inode(), Some(seen.info.mnt_id));
    let (path, outside) = (Bytes(name.path.clone()), name.outside);
    Ok(Some(FileRef { path, outside, dev, ino, mnt_id, deleted: false }))
}

/// Whether the name leads to it in an IPC namespace of the tree. We are in that of the root.
fn has_name(seen: &Descriptor<'_>) -> Result<bool, Problem> {
    let (name, inode) = (name(seen), seen.inode());
    let leads = || leads(&name, inode).map(|leads| leads.then_some(()));
    seen.context.ipcs.find(leads).map(|found| found.is_some())
}

/// Whether a name leads to a queue in the IPC namespace of the calling thread.
fn leads(name: &[u8], inode: (u64, u64)) -> Result<bool, Problem> {
    let open = |how: OFlag| open_queue(name, (how | OFlag::O_NONBLOCK).bits());
    let opened = match open(OFlag::O_RDONLY) {
        Err(e) if e.errno() == Some(libc::EACCES) => open(OFlag::O_WRONLY),
        opened => opened,
    };
    match opened {
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(false),
        Err(e) if e.errno() == Some(libc::EACCES) => {
            Err(Problem::new(RULE, "its permissions do not let freeze open it by its name"))
        }
        Err(e) => Err(e.into()),
        Ok(found) => {
            let stat = fstat(&found).map_err(|e| floe_sys::Error::new("read a queue", e))?;
            Ok((stat.st_dev, stat.st_ino) == inode)
        }
    }
}

/// Whether the description itself has the flag, in the place of which fdinfo shows that of the descriptor.
fn has_cloexec(seen: &Descriptor<'_>) -> Result<bool, Problem> {
    let flags = fcntl(seen.duplicate()?, FcntlArg::F_GETFL);
    let flags = flags.map_err(|e| floe_sys::Error::new("read the flags of a message queue", e))?;
    Ok(flags & OFlag::O_CLOEXEC.bits() != 0)
}

/// The queue, open for reading.
fn reader(seen: &Descriptor<'_>) -> Result<OwnedFd, Problem> {
    match seen.open_again(OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
        Err(e) if e.errno() == Some(libc::EACCES) => {}
        opened => return Ok(opened?),
    }
    if seen.is_path() || seen.flags & libc::O_ACCMODE as u32 == libc::O_WRONLY as u32 {
        let what = "its permissions do not let freeze read who is told of its messages";
        return Err(Problem::new(RULE, what));
    }
    let own = seen.duplicate()?.try_clone_to_owned();
    own.map_err(|e| floe_sys::Error::new("keep a message queue", e).into())
}

/// What there is to know of a queue that could be opened for reading before.
pub(crate) fn state(seen: &Descriptor<'_>) -> Result<State> {
    let fd = reader(seen).map_err(|problem| match problem {
        Problem::Refused(_, why, _) => floe_sys::Error::because("read a message queue", why),
        Problem::Sys(error) => error.pid(seen.pid),
    })?;
    let stat = fstat(&fd).map_err(|e| floe_sys::Error::new("read a message queue", e))?;
    let attributes = queue_attributes(&fd)?;
    let (dev, ino) = seen.inode();
    let time = |sec: i64, nsec: i64| (sec, nsec as u32);
    let queue = Queue {
        id: ObjectId { dev, ino },
        name: Bytes(name(seen)),
        removed: is_removed(seen),
        max_messages: attributes.max_messages,
        message_size: attributes.message_size,
        messages: attributes.messages,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        times: [time(stat.st_atime, stat.st_atime_nsec), time(stat.st_mtime, stat.st_mtime_nsec)],
    };
    Ok((queue, queue_notification(fd.as_fd())?))
}

/// The first descriptor of the tree that leads to a queue.
pub(crate) fn place(files: &Files, queue: ObjectId) -> Option<(Pid, FdNum)> {
    let is = |file: FileId| match &files.all[file.0 as usize].1 {
        AnyRecord::MessageQueue(it) => it.queue == queue,
        _ => false,
    };
    let fds =
        |pid, fds: &[floe_records::Fd]| fds.iter().find(|fd| is(fd.file)).map(|fd| (pid, fd.fd));
    files.tables.iter().find_map(|table| fds(table.pid, &table.fds))
}
