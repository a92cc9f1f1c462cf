//! A netlink socket: what there is, and changes of it.

use crate::Message;
use crate::message::attributes;
use floe_sys::{Error, Result, set_socket_option};
use netlink_packet_core::{
    Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader,
};
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_XFRM},
};
use std::{cell::Cell, io, os::fd::AsFd};

/// More than the kernel sends at once.
const ROOM: usize = 64 << 10;
/// NLM_F_DUMP_INTR: something has changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// How often a dump is taken again.
const TRIES: usize = 16;
/// SOL_NETLINK; NETLINK_CAP_ACK and NETLINK_EXT_ACK.
const SOL_NETLINK: i32 = 270;
const CAP_ACK: i32 = 10;
const EXT_ACK: i32 = 11;
/// NLM_F_ACK_TLVS, NLM_F_CAPPED, and NLMSGERR_ATTR_MSG.
const ACK_TLVS: u16 = 0x200;
const REASON: u16 = 1;

/// A socket of a family of netlink(7), in the network namespace of the thread that has made it.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    last: Cell<u32>,
}

impl Netlink {
    /// Interfaces, addresses, routes.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn route() -> Result<Self> {
        Self::new(NETLINK_ROUTE)
    }

    /// nf_tables, ipset, connection tracking.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn netfilter() -> Result<Self> {
        Self::new(NETLINK_NETFILTER)
    }

    /// IPsec.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn xfrm() -> Result<Self> {
        Self::new(NETLINK_XFRM)
    }

    fn new(protocol: isize) -> Result<Self> {
        let socket = Socket::new(protocol).map_err(|e| Error::new("make a netlink socket", e))?;
        for option in [CAP_ACK, EXT_ACK] {
            // Old kernels do not say why.
            let _ = set_socket_option(socket.as_fd(), SOL_NETLINK, option, &1u32.to_ne_bytes());
        }
        Ok(Self { socket, last: Cell::new(0) })
    }

    /// All there is of a kind; the structures of the answers have `head` bytes.
    ///
    /// # Errors
    /// The answer of the kernel.
    pub fn dump(&self, kind: u16, ask: &Message, head: usize) -> Result<Vec<(u16, Message)>> {
        let doing = "read what is in the network namespace";
        for _ in 0..TRIES {
            let number = self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, ask, doing)?;
            if let Some(all) = self.answers(number, head).map_err(|e| Error::new(doing, e))? {
                return Ok(all);
            }
        }
        Err(Error::because(doing, "it changes all the time"))
    }

    /// The answers to a dump; `None` where it must be taken again.
    fn answers(&self, number: u32, head: usize) -> io::Result<Option<Vec<(u16, Message)>>> {
        let (mut all, mut whole) = (Vec::new(), true);
        let mut buffer = Vec::with_capacity(ROOM);
        loop {
            buffer.clear();
            self.receive(&mut buffer)?;
            let mut rest = buffer.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let len = (message.length() as usize).next_multiple_of(4);
                if message.sequence_number() == number {
                    whole &= message.flags() & INTERRUPTED == 0;
                    let payload = message.payload();
                    match message.message_type() {
                        NLMSG_DONE => {
                            let code = payload.first_chunk().map_or(0, |c| i32::from_ne_bytes(*c));
                            if code < 0 {
                                return Err(io::Error::from_raw_os_error(-code));
                            }
                            return Ok(whole.then_some(all));
                        }
                        NLMSG_ERROR => return Err(failure(payload, message.flags()).0),
                        kind => all.push((kind, Message::parse(payload, head))),
                    }
                }
                rest = rest.get(len..).unwrap_or_default();
            }
        }
    }

    /// Makes a change, with flags such as NLM_F_CREATE.
    ///
    /// # Errors
    /// The answer of the kernel, with its reason.
    pub fn change(&self, kind: u16, flags: u16, message: &Message, doing: &str) -> Result<()> {
        let number = self.send(kind, NLM_F_REQUEST | NLM_F_ACK | flags, message, doing)?;
        let mut buffer = Vec::with_capacity(ROOM);
        loop {
            buffer.clear();
            self.receive(&mut buffer).map_err(|e| Error::new(doing, e))?;
            let Ok(answer) = NetlinkBuffer::new_checked(buffer.as_slice()) else { continue };
            if answer.sequence_number() != number || answer.message_type() != NLMSG_ERROR {
                continue;
            }
            let (error, reason) = failure(answer.payload(), answer.flags());
            return match (error.raw_os_error(), reason) {
                (Some(0), _) => Ok(()),
                (_, None) => Err(Error::new(doing, error)),
                (_, Some(reason)) => Err(Error::new(format!("{doing} ({reason})"), error)),
            };
        }
    }

    fn send(&self, kind: u16, flags: u16, message: &Message, doing: &str) -> Result<u32> {
        let (bytes, number) = (message.to_bytes(), self.last.get() + 1);
        self.last.set(number);
        let sent = self.socket.send(&framed(kind, flags, number, &bytes), 0);
        sent.map(|_| number).map_err(|e| Error::new(doing, e))
    }

    /// Sends messages as they are, and gives the answers to those that the kernel refuses: number, error and reason.
    pub(crate) fn transact(&self, messages: &[u8], doing: &str) -> Result<Vec<(u32, io::Error)>> {
        let fail = |e: io::Error| Error::new(doing, e);
        let size = i32::try_from(2 * messages.len()).unwrap_or(i32::MAX).max(1 << 20);
        for option in [libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE] {
            // Without the right to it the kernel says more below.
            let _ = set_socket_option(
                self.socket.as_fd(),
                libc::SOL_SOCKET,
                option,
                &size.to_ne_bytes(),
            );
        }
        self.socket.send(messages, 0).map_err(fail)?;
        let (mut refused, mut buffer) = (Vec::new(), Vec::with_capacity(ROOM));
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(refused),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(fail(e)),
            }
            let mut rest = buffer.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let len = (message.length() as usize).next_multiple_of(4);
                if message.message_type() == NLMSG_ERROR {
                    let (error, _) = failure(message.payload(), message.flags());
                    if error.raw_os_error() != Some(0) {
                        refused.push((message.sequence_number(), error));
                    }
                }
                rest = rest.get(len..).unwrap_or_default();
            }
        }
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        loop {
            match self.socket.recv(buffer, 0) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }
}

/// A message with its header.
pub(crate) fn framed(kind: u16, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.length = (header.buffer_len() + body.len()) as u32;
    header.message_type = kind;
    header.flags = flags;
    header.sequence_number = number;
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What an answer says, 0 for a success, and why.
fn failure(payload: &[u8], flags: u16) -> (io::Error, Option<String>) {
    let code = ErrorBuffer::new_checked(payload).ok().and_then(|error| error.code());
    let error = io::Error::from_raw_os_error(code.map_or(0, |code| -code.get()));
    // Behind the error and the header of the message that it is about.
    let behind = payload.get(20..).filter(|_| flags & ACK_TLVS != 0).unwrap_or_default();
    let reason = attributes(behind).into_iter().find(|(kind, _)| *kind == REASON);
    let text = |(_, value): (u16, Vec<u8>)| {
        String::from_utf8_lossy(crate::message::text(&value)).into_owned()
    };
    (error, reason.map(text))
}
