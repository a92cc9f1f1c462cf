//! How stubs get what restore opens when they are there already: they take it from restore (pidfd_getfd(2)), or are sent it, where they
//! are in a user namespace whose members may not take anything from restore.

use crate::{open::high, script::Script};
use floe_parasite::Arg;
use floe_sys::{Error, Message, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `struct msghdr`: its words, and where the pointers to its parts and the length of the control message stand.
const HEAD: usize = 7;
const PARTS: usize = 2;
const CONTROL: usize = 4;
/// Bytes of a control message with one descriptor, and where that stands.
const ROOM: u64 = 24;
const DESCRIPTOR: usize = 16;

/// What stubs have for it.
#[derive(Debug)]
pub(crate) struct Handover {
    /// A handle of restore itself.
    restore: OwnedFd,
    /// Restore sends, stubs receive.
    ends: (OwnedFd, OwnedFd),
}

impl Handover {
    /// At numbers from `base` on.
    pub fn new(base: u32) -> Result<Self> {
        let fail = |e| Error::new("make a pair of sockets", e);
        let restore = high(base, floe_sys::pidfd_open(std::process::id() as i32)?)?;
        let flags = SockFlag::SOCK_CLOEXEC;
        let ends = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).map_err(fail)?;
        Ok(Self { restore, ends: (ends.0, high(base, ends.1)?) })
    }

    /// All that stubs need of it.
    pub fn kept(&self) -> [&OwnedFd; 2] {
        [&self.restore, &self.ends.1]
    }

    /// Has a stub take a descriptor, under the number that it has in restore.
    pub fn take(&self, number: u32, script: &mut Script<'_>) {
        let number = Arg::Val(number.into());
        let ours = Arg::Val(self.restore.as_raw_fd() as u64);
        let taken = script.call(libc::SYS_pidfd_getfd, [ours, number, Arg::Val(0)]);
        script.call(libc::SYS_dup3, [taken.into(), number, Arg::Val(libc::O_CLOEXEC as u64)]);
        script.call(libc::SYS_close, [taken.into()]);
    }

    /// The same of a stub that may not: it is sent.
    pub fn send(&self, fd: BorrowedFd<'_>, script: &mut Script<'_>) -> Result<()> {
        script.run()?;
        let message = Message { bytes: b"x", fds: &[fd], credentials: None, to: None };
        floe_sys::send_message(self.ends.0.as_fd(), message)?;
        let byte = script.bytes(&[0]);
        let part = script.words(&[0, 1]);
        let control = script.words(&[0; ROOM as usize / 8]);
        let mut head = [0; HEAD];
        (head[PARTS + 1], head[CONTROL + 1]) = (1, ROOM);
        let head = script.words(&head);
        script.pointer(part, 0, byte);
        script.pointer(head, PARTS * 8, part);
        script.pointer(head, CONTROL * 8, control);
        let ours = Arg::Val(self.ends.1.as_raw_fd() as u64);
        script.call(libc::SYS_recvmsg, [ours, head.into(), Arg::Val(libc::MSG_DONTWAIT as u64)]);
        let none = || Error::because("receive a descriptor", "it has not come");
        let replies = script.run()?.ok_or_else(none)?;
        let told = replies.bytes(control).get(DESCRIPTOR..);
        let told = told.and_then(|bytes| bytes.first_chunk().copied()).ok_or_else(none)?;
        let (taken, number) = (Arg::Val(u32::from_ne_bytes(told).into()), fd.as_raw_fd());
        let number = Arg::Val(number as u64);
        script.call(libc::SYS_dup3, [taken, number, Arg::Val(libc::O_CLOEXEC as u64)]);
        script.call(libc::SYS_close, [taken]);
        Ok(())
    }
}
