//! The socket between an engine and us: one message is one packet.

use crate::protocol::{Request, Response};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, getsockopt, recv, sockopt::PeerCredentials},
};
use prost::Message;
use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// Longest request, bytes: far more than any engine sends.
const LONGEST: usize = 64 << 20;

/// Our end of it.
pub struct Channel(OwnedFd);

impl Channel {
    /// The descriptor that the engine has left open for us.
    pub fn inherited(fd: i32) -> Result<Self> {
        let own = floe_sys::duplicate_inherited(fd)?;
        // Programs that we start have no business with it.
        nix::unistd::close(fd).context("unable to close a duplicate of the socket")?;
        Ok(Self(own))
    }

    /// The next request; `None` when the engine has closed its end.
    pub fn receive(&self) -> Result<Option<Request>> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        let len = self.take(&mut [0], flags)?;
        ensure!(len <= LONGEST, "a request of {len} bytes is too long");
        if len == 0 {
            return Ok(None);
        }
        let mut packet = vec![0; len];
        let len = self.take(&mut packet, MsgFlags::empty())?;
        let request = Request::decode(&packet[..len]);
        request.map(Some).context("unable to read a request: it is no message of this protocol")
    }

    fn take(&self, to: &mut [u8], flags: MsgFlags) -> Result<usize> {
        loop {
            match recv(self.0.as_raw_fd(), to, flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(0),
                done => return done.context("unable to hear from the engine"),
            }
        }
    }

    /// Sends an answer or a notification, with a descriptor where there is one.
    pub fn send(&self, response: &Response, with: Option<BorrowedFd<'_>>) -> Result<()> {
        let bytes = response.encode_to_vec();
        let fds: Vec<BorrowedFd<'_>> = with.into_iter().collect();
        let message = floe_sys::Message { bytes: &bytes, fds: &fds, credentials: None, to: None };
        Ok(floe_sys::send_message(self.0.as_fd(), message)?)
    }

    /// Whether the engine is gone.
    pub fn has_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(n) if n > 0)
            && polled[0].revents().is_some_and(|found| found.intersects(gone))
    }

    /// A descriptor of the engine, by its number there.
    pub fn of_engine(&self, fd: i32) -> Result<File> {
        let peer = getsockopt(&self.0, PeerCredentials).context("unable to ask for the engine")?;
        if peer.pid() <= 0 {
            bail!(
                "the engine is in a pid namespace that we do not see: its descriptors cannot be opened"
            );
        }
        let path = format!("/proc/{}/fd/{fd}", peer.pid());
        File::open(&path).with_context(|| format!("unable to open descriptor {fd} of the engine"))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
