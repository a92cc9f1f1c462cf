//! What was queued in UNIX sockets: it is sent when they are made, or, where it carries something, when all that can be carried is
//! there and so are the processes that have sent it.

use crate::{factory::Factory, resource::ForObject};
use floe_records::{FileId, SocketQueue};
use floe_sys::{
    Error, Message, Placeholder, Result, send_message, set_socket_option, socket_option,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl ForObject for SocketQueue {
    fn make(&self, _: &mut Factory<'_>) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("what is queued in socket {}", self.ino)
    }
}

/// Where open files are found that messages carry.
pub(crate) type Open<'a> = dyn Fn(FileId) -> Result<BorrowedFd<'a>> + 'a;

/// Before the files are open, nothing is sent that carries any.
pub(crate) fn nothing_open(_: FileId) -> Result<BorrowedFd<'static>> {
    Err(Error::because("fill a socket", "what it carries is not open yet"))
}

/// Whether a queue is filled late.
pub(crate) fn is_late(queue: &SocketQueue) -> bool {
    !queue.carried.is_empty()
}

/// Sends what was queued, through the other end. Nothing reads yet, so it never waits.
pub(crate) fn fill(
    from: &OwnedFd,
    to: &OwnedFd,
    queue: &SocketQueue,
    open: &Open<'_>,
) -> Result<()> {
    let _quiet = Quiet::of(&[from, to])?;
    let all = messages(queue)?.into_iter().enumerate();
    all.map(|(at, message)| (from, queue, at, message))
        .try_for_each(|(from, queue, at, message)| send_on(from, (queue, at), message, None, open))
}

/// The messages of a queue, oldest first.
pub(crate) fn messages(queue: &SocketQueue) -> Result<Vec<&[u8]>> {
    let mut rest = queue.bytes.as_slice();
    let mut cut = |len: &u32| {
        let short = || Error::because("fill a socket", "the record is damaged");
        let (message, behind) = rest.split_at_checked(*len as usize).ok_or_else(short)?;
        rest = behind;
        Ok(message)
    };
    queue.messages.iter().map(&mut cut).collect()
}

/// Sends a message of a queue, by its number there, with what it carries, to an address or to the peer of a socket.
pub(crate) fn send_on(
    from: &OwnedFd,
    (queue, at): (&SocketQueue, usize),
    bytes: &[u8],
    to: Option<&[u8]>,
    open: &Open<'_>,
) -> Result<()> {
    let carried = queue.carried(at);
    let files = carried.map_or(&[][..], |carried| &carried.files);
    let fds: Vec<BorrowedFd<'_>> = files.iter().map(|file| open(*file)).collect::<Result<_>>()?;
    let sender = carried.and_then(|carried| carried.sender);
    let credentials = sender.map(|(pid, uid, gid)| (pid.0, uid, gid));
    let message = Message { bytes, fds: &fds, credentials, to };
    match (send_message(from.as_fd(), message), sender) {
        // The sender has ended, and its number is nobody's.
        (Err(e), Some((pid, ..))) if e.errno() == Some(libc::ESRCH) => {
            let _sender = Placeholder::new(pid.0 as i32)?;
            send_message(from.as_fd(), message)
        }
        (sent, _) => sent,
    }
}

/// Options by which the kernel adds to a message who sends it.
const TELLING: [i32; 2] = [libc::SO_PASSCRED, 76];

/// Sockets that add nothing of restore to what goes between them, until this is dropped: messages that come without credentials were
/// sent before anybody asked for them.
pub(crate) struct Quiet<'a>(Vec<(&'a OwnedFd, i32)>);

impl<'a> Quiet<'a> {
    pub fn of(fds: &[&'a OwnedFd]) -> Result<Self> {
        let mut quiet = Self(Vec::new());
        for (fd, name) in fds.iter().flat_map(|fd| TELLING.map(|name| (*fd, name))) {
            let value = socket_option(fd.as_fd(), libc::SOL_SOCKET, name, 4);
            if value.is_ok_and(|value| value != [0; 4]) {
                set_socket_option(fd.as_fd(), libc::SOL_SOCKET, name, &[0; 4])?;
                quiet.0.push((fd, name));
            }
        }
        Ok(quiet)
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        for (fd, name) in &self.0 {
            // It was set a moment ago.
            let on = 1i32.to_ne_bytes();
            let _ = set_socket_option(fd.as_fd(), libc::SOL_SOCKET, *name, &on);
        }
    }
}
