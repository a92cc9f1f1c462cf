//! `--events`: a program is told of the steps at which it may have something to do, and restore waits for it each time.
//!
//! An event is a message on a socket (SOCK_SEQPACKET), its name, with a descriptor; the answer is the message `yes`. Any other one,
//! and the end of the other side, are a refusal: everything is undone.

use anyhow::{Context, Result, bail};
use floe_records::{Pid, Tree};
use floe_sys::Message;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The root task is there with all its namespaces. With a handle of it (pidfd_open(2)).
pub const NAMESPACES: &str = "setup-namespaces";
/// All is built and stopped. With a handle of the root task.
pub const BUILT: &str = "post-restore";
/// A pseudo terminal was made whose master belongs to nobody yet. With the master.
pub const MASTER: &str = "orphan-pts-master";
/// The tree runs. There is no answer; restore ends when the other side has.
const DONE: &str = "done";

const YES: &[u8] = b"yes";

/// Who is told, if anybody is.
pub struct Events(Option<OwnedFd>);

impl Events {
    /// The socket that we were started with.
    pub fn new(fd: Option<i32>) -> Result<Self> {
        let Some(fd) = fd else { return Ok(Self(None)) };
        let own = floe_sys::duplicate_inherited(fd);
        let own = own.map_err(|e| floe_toolkit::Usage(format!("--events {fd}: {e}")))?;
        // The tree is born with all that is open.
        nix::unistd::close(fd).context("unable to close a duplicate of the socket")?;
        Ok(Self(Some(own)))
    }

    /// Whether anybody is told.
    pub fn are_told(&self) -> bool {
        self.0.is_some()
    }

    /// Tells of the root task.
    pub fn of_root(&self, event: &str, tree: &Tree) -> Result<()> {
        let Some(root) = tree.root().filter(|_| self.are_told()) else { return Ok(()) };
        let Pid(root) = root.pid;
        let handle = floe_sys::pidfd_open(root as i32)?;
        self.tell(event, handle.as_fd())
    }

    /// Tells of something, and waits for the answer.
    pub fn tell(&self, event: &str, with: BorrowedFd<'_>) -> Result<()> {
        let Some(socket) = &self.0 else { return Ok(()) };
        send(socket, event, &[with])?;
        let mut answer = [0; 16];
        let len = hear(socket, &mut answer)?;
        if &answer[..len] != YES {
            bail!("who was told of {event} (--events) has refused, or is gone");
        }
        Ok(())
    }

    /// The tree runs; waits until the other side has nothing more to do.
    pub fn done(&self) -> Result<()> {
        let Some(socket) = &self.0 else { return Ok(()) };
        send(socket, DONE, &[])?;
        while hear(socket, &mut [0; 16])? > 0 {}
        Ok(())
    }
}

fn send(socket: &OwnedFd, event: &str, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let message = Message { bytes: event.as_bytes(), fds, credentials: None, to: None };
    floe_sys::send_message(socket.as_fd(), message)
        .with_context(|| format!("unable to tell of {event} (--events)"))
}

/// Bytes of the next message, 0 at the end.
fn hear(socket: &OwnedFd, to: &mut [u8]) -> Result<usize> {
    loop {
        match recv(socket.as_raw_fd(), to, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(0),
            done => return done.context("unable to hear from --events"),
        }
    }
}
