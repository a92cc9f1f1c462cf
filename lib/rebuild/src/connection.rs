//! TCP connections, made in repair mode (TCP_REPAIR) while the network is kept away from them: no segment leaves them, or reaches
//! them but those that we make ourselves. Up to [`end_repair`] they would end without a word to their peers.

use crate::{
    inet::{REUSE, bind, shown},
    own_traffic::OwnTraffic,
    socket::{option, set_filter, set_inet_options, shut},
    tcp_segment::{ACK, FIN, Segment},
};
use floe_netlock::Connection;
use floe_records::{InetSocket, SocketOption, TcpConnection, TcpWindow};
use floe_sys::{
    Error, Repair, Result, bind_raw, connect_raw, set_repair, set_socket_option, socket,
    socket_option,
};
use nix::sys::socket::{MsgFlags, send};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

const TCP: i32 = libc::IPPROTO_TCP;
const SOCKET: i32 = libc::SOL_SOCKET;
/// Options of [`InetSocket`] that come behind all else: the kernel sets SO_REUSEADDR itself, the buffers must have room while they
/// are filled, and what we make ourselves comes through the loopback interface and through the filter.
const LATE: [i32; 6] = [
    libc::SO_REUSEADDR,
    libc::SO_RCVBUF,
    libc::SO_SNDBUF,
    libc::SO_BINDTODEVICE,
    SocketOption::FILTER,
    SocketOption::FILTER_LOCK,
];
/// SO_BUF_LOCK of asm-generic/socket.h (Linux 5.15): which buffers have a size that was set by hand, SO_SNDBUF 1, SO_RCVBUF 2.
const SO_BUF_LOCK: i32 = 72;
/// Queues of TCP_REPAIR_QUEUE.
const NONE: i32 = 0;
const RECEIVED: i32 = 1;
const TO_SEND: i32 = 2;
/// Codes of TCP_REPAIR_OPTIONS.
const MSS: u32 = 2;
const WINDOW_SCALE: u32 = 3;
const SACK: u32 = 4;
const TIMESTAMPS: u32 = 8;
/// LAST_ACK of include/net/tcp_states.h: the peer has ended before us.
const LAST_ACK: u8 = 9;
/// How long a segment of ours may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Bytes that are put into a queue by one call.
const PIECE: usize = 32 << 10;

/// A connected socket, and what could not be set of it. It is in repair mode.
pub(crate) fn make(
    was: &InetSocket,
    it: &TcpConnection,
    own: &OwnTraffic,
) -> Result<(OwnedFd, Vec<String>)> {
    let fd = socket(was.family as i32, libc::SOCK_STREAM, TCP)?;
    let is_late = |o: &SocketOption| o.level == SOCKET && LATE.contains(&o.name);
    let (late, early): (Vec<_>, Vec<_>) = was.options.iter().cloned().partition(is_late);
    let notes = set_inet_options(&fd, &early)?;
    let work = Work { fd: &fd, was, it, own };
    work.make_room()?;
    set_repair(fd.as_fd(), Repair::On)?;
    bind(&fd, was, &|| bind_raw(fd.as_fd(), &was.name.0))?;
    work.connect()?;
    work.fill()?;
    work.set_window(1)?;
    work.end()?;
    work.queue(NONE)?;
    work.set_window(0)?;
    if was.shutdown & 1 != 0 && !it.peer_has_ended() {
        shut(&fd, 1)?;
    }
    work.take_room(&late)?;
    let device = late.iter().filter(|o| o.name == libc::SO_BINDTODEVICE);
    device.into_iter().try_for_each(|o| option(&fd, (o.level, o.name), &o.value.0))?;
    set_filter(&fd, &late)?;
    Ok((fd, notes))
}

/// It is as any other one from now on, while the network is still kept away: its process may run at any moment.
pub(crate) fn end_repair(was: &InetSocket, fd: &OwnedFd) -> Result<()> {
    set_repair(fd.as_fd(), Repair::Silent)?;
    option(fd, REUSE, &reuse(was).to_ne_bytes())
}

/// Lets it go on, now that the network is there again: the peer is asked for a sign of life.
pub(crate) fn go_on(was: &InetSocket, fd: &OwnedFd) -> Result<()> {
    set_repair(fd.as_fd(), Repair::Off)?;
    option(fd, REUSE, &reuse(was).to_ne_bytes())
}

/// Its SO_REUSEADDR.
pub(crate) fn reuse(was: &InetSocket) -> i32 {
    let option = was.options.iter().find(|o| (o.level, o.name) == REUSE);
    option.and_then(|o| o.value.0.as_slice().try_into().ok()).map_or(0, i32::from_ne_bytes)
}

/// A connection that is being made.
struct Work<'a> {
    fd: &'a OwnedFd,
    was: &'a InetSocket,
    it: &'a TcpConnection,
    own: &'a OwnTraffic,
}

impl Work<'_> {
    fn set(&self, name: i32, value: &[u8]) -> Result<()> {
        set_socket_option(self.fd.as_fd(), TCP, name, value)
    }

    fn queue(&self, which: i32) -> Result<()> {
        self.set(libc::TCP_REPAIR_QUEUE, &which.to_ne_bytes())
    }

    /// The kernel counts more than the bytes alone.
    fn make_room(&self) -> Result<()> {
        let room = |bytes: u32| (bytes.saturating_mul(2) + (1 << 20)).min(i32::MAX as u32 / 2);
        let TcpConnection { unread, unacknowledged, unsent, .. } = *self.it;
        self.buffer(libc::SO_RCVBUFFORCE, room(unread))?;
        self.buffer(libc::SO_SNDBUFFORCE, room(unacknowledged.saturating_add(unsent)))
    }

    /// Sizes as they were; of a buffer that the kernel sizes itself one in which all fits that the peer may send.
    fn take_room(&self, options: &[SocketOption]) -> Result<()> {
        let by_hand = |name| options.iter().any(|o| o.name == name);
        let received = match by_hand(libc::SO_RCVBUF) {
            true => 0,
            false => self.it.unread.saturating_add(self.it.window.own).saturating_mul(2),
        };
        self.buffer(libc::SO_RCVBUFFORCE, self.it.receive_buffer.max(received) / 2)?;
        self.buffer(libc::SO_SNDBUFFORCE, self.it.send_buffer / 2)?;
        let locked = i32::from(by_hand(libc::SO_SNDBUF)) | i32::from(by_hand(libc::SO_RCVBUF)) << 1;
        option(self.fd, (SOCKET, SO_BUF_LOCK), &locked.to_ne_bytes())
    }

    /// The kernel doubles what is set.
    fn buffer(&self, name: i32, half: u32) -> Result<()> {
        let half = half.min(i32::MAX as u32 / 2);
        set_socket_option(self.fd.as_fd(), SOCKET, name, &half.to_ne_bytes())
    }

    /// Sequence numbers, the connection, and what the two ends have agreed upon.
    fn connect(&self) -> Result<()> {
        for (queue, seq) in [(RECEIVED, self.it.receive_seq), (TO_SEND, self.it.send_seq)] {
            self.queue(queue)?;
            self.set(libc::TCP_QUEUE_SEQ, &seq.to_ne_bytes())?;
        }
        connect_raw(self.fd.as_fd(), &self.was.peer.0).map_err(|e| {
            let [name, peer] =
                [&self.was.name, &self.was.peer].map(|at| shown(at, self.was.family));
            let why = match e.errno() {
                Some(libc::EADDRNOTAVAIL) => "there is such a connection".to_owned(),
                _ => e.cause().to_string(),
            };
            Error::because(format!("connect {name} with {peer}"), why)
        })?;
        let mut options = vec![(MSS, self.it.mss)];
        let scales = self.it.window_scale.map(|(peer, own)| u32::from(peer) | u32::from(own) << 16);
        options.extend(scales.map(|scales| (WINDOW_SCALE, scales)));
        options.extend(self.it.sack.then_some((SACK, 0)));
        options.extend(self.it.timestamp.map(|_| (TIMESTAMPS, 0)));
        let words =
            options.iter().flat_map(|(code, value)| [code.to_ne_bytes(), value.to_ne_bytes()]);
        self.set(libc::TCP_REPAIR_OPTIONS, &words.flatten().collect::<Vec<u8>>())?;
        let now = self.it.timestamp.map(u32::to_ne_bytes);
        now.map_or(Ok(()), |now| self.set(libc::TCP_TIMESTAMP, &now))
    }

    /// Windows. `before`: 1 where the end of the peer's data, which takes a byte of ours, is still to come.
    fn set_window(&self, before: u32) -> Result<()> {
        let end = if self.it.peer_has_ended() { before } else { 0 };
        let TcpWindow { update, peer, peer_most, own, own_at } = self.it.window;
        let words = [update, peer, peer_most, own + end, own_at.wrapping_sub(end)];
        let bytes = words.map(u32::to_ne_bytes);
        self.set(libc::TCP_REPAIR_WINDOW, bytes.as_flattened())
    }

    /// Fills the queues.
    fn fill(&self) -> Result<()> {
        let short = || Error::because("fill a connection", "the record is damaged");
        let lens = [self.it.unread, self.it.unacknowledged, self.it.unsent];
        let mut rest = self.it.bytes.as_slice();
        for (at, len) in lens.into_iter().enumerate() {
            let (part, behind) = rest.split_at_checked(len as usize).ok_or_else(short)?;
            rest = behind;
            match at {
                0 => self.put(RECEIVED, part)?,
                1 => self.put(TO_SEND, part)?,
                // What is put into the queue in repair mode counts as sent.
                _ if part.is_empty() => {}
                _ => self.outside_of_repair(|| self.send(part))?,
            }
        }
        Ok(())
    }

    fn put(&self, queue: i32, bytes: &[u8]) -> Result<()> {
        self.queue(queue)?;
        self.send(bytes)
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        for mut piece in bytes.chunks(PIECE) {
            while !piece.is_empty() {
                match send(self.fd.as_raw_fd(), piece, flags) {
                    Ok(sent) => piece = piece.get(sent..).unwrap_or_default(),
                    Err(nix::Error::EINTR) => {}
                    Err(e) => return Err(Error::new("fill a connection", e)),
                }
            }
        }
        Ok(())
    }

    fn outside_of_repair(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        set_repair(self.fd.as_fd(), Repair::Silent)?;
        work()?;
        set_repair(self.fd.as_fd(), Repair::On)
    }

    /// The ends of both directions, in an order that leads to its state.
    fn end(&self) -> Result<()> {
        if self.it.has_ended() && self.it.state != LAST_ACK {
            self.own_end()?;
        }
        // The acknowledgement of our end, or the peer's own.
        if self.it.state == TcpConnection::FIN_WAIT2 {
            self.arrives(self.it.received_to(), self.it.send_seq.wrapping_add(1), ACK)?;
        } else if self.it.peer_has_ended() {
            self.arrives(self.it.received_to().wrapping_sub(1), self.it.send_seq, ACK | FIN)?;
        }
        if self.it.state == LAST_ACK {
            self.own_end()?;
        }
        let state = self.state()?;
        if state == self.it.state {
            return Ok(());
        }
        let why = format!("it is in state {state} instead of {}", self.it.state);
        Err(Error::because("end a direction of a connection", why))
    }

    fn own_end(&self) -> Result<()> {
        if !self.it.end_sent {
            return self.outside_of_repair(|| shut(self.fd, 2));
        }
        self.queue(TO_SEND)?;
        shut(self.fd, 2)
    }

    /// Has a segment of the peer arrive, and waits until it has had its effect.
    fn arrives(&self, seq: u32, ack: u32, flags: u8) -> Result<()> {
        let none = || Error::because("make a segment", "its addresses are of two families");
        let connection = Connection::of(&self.was.name.0, &self.was.peer.0).ok_or_else(none)?;
        let scale = self.it.window_scale.map_or(0, |(peer, _)| peer);
        let window = u16::try_from(self.it.window.peer >> scale).unwrap_or(u16::MAX);
        let before = self.state()?;
        self.own.untrack()?;
        Segment { connection, seq, ack, flags, window }.arrive(&self.was.name)?;
        let begin = Instant::now();
        while self.state()? == before {
            if begin.elapsed() > ARRIVAL {
                let why = "the segment that says so does not arrive: a packet filter may drop it";
                return Err(Error::because("end a direction of a connection", why));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn state(&self) -> Result<u8> {
        let info = socket_option(self.fd.as_fd(), TCP, libc::TCP_INFO, 1)?;
        Ok(info.first().copied().unwrap_or(0))
    }
}
