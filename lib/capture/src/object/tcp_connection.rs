//! TCP connections: what cannot be had of one, and state and queues of the others, read in repair mode (TCP_REPAIR) while `freeze`
//! keeps the network away from them.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::{Files, Purpose},
    namespace::space,
    net_spaces::Sockets,
    resource::OfObject,
    socket_kind::number,
};
use floe_records::{
    AnyRecord, FdNum, Finding, Findings, NsId, Pid, TcpConnection, TcpSocket, TcpWindow,
};
use floe_sys::{Error, Repairs, never_sent, pidfd_getfd, pidfd_open, socket_option};
use nix::sys::socket::{MsgFlags, recv};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

const TCP: i32 = libc::IPPROTO_TCP;
/// States of include/net/tcp_states.h.
const SYN_SENT: u8 = 2;
/// Connections that are in repair mode, or ready for it, at a time.
pub(crate) const TOGETHER: usize = 256;
/// TCP_AO_INFO of linux/tcp.h (Linux 6.7).
const TCP_AO_INFO: i32 = 40;
/// Queues of TCP_REPAIR_QUEUE.
const RECEIVED: i32 = 1;
const TO_SEND: i32 = 2;

/// Bytes of `struct tcp_info` that are asked for, and where its parts stand.
const INFO: usize = 104;
const OPTIONS: usize = 5;
const SCALES: usize = 6;
/// TCPI_OPT_TIMESTAMPS, TCPI_OPT_SACK, TCPI_OPT_WSCALE, TCPI_OPT_ECN.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const SCALED: u8 = 4;
const ECN: u8 = 8;

/// Looks at a socket that is connected, or is about to be.
pub(crate) fn look(seen: &Descriptor<'_>, fd: BorrowedFd<'_>, state: u8) -> Result<(), Problem> {
    let close = "close the connection, or have it restored as closed with --close-tcp";
    let refuse = |problem: &str, hint| Err(Problem::Refused("file.tcp", problem.into(), hint));
    if !TcpConnection::STATES.contains(&state) {
        let what = if state == SYN_SENT { "SYN_SENT" } else { "SYN_RECV" };
        let problem = format!("its connection is still being made ({what})");
        return refuse(&problem, "try again when it has been made, or use --close-tcp");
    }
    let space = space::number(floe_sys::network_namespace(fd)?);
    if space.is_some_and(|NsId(net)| !seen.context.nets.has(net)) {
        let problem = "it is an established TCP connection of a network namespace that no process of the tree is in";
        return refuse(problem, close);
    }
    let unlockable = |all: &Sockets| Ok::<_, Error>(all.inet.unlockable(fd).map(str::to_owned));
    if let Some(why) = seen.in_network(unlockable)? {
        let problem = format!("an established TCP connection cannot be captured here: {why}");
        return refuse(&problem, "give freeze CAP_NET_ADMIN, or have it closed with --close-tcp");
    }
    let there = poll(fd)?;
    if there & libc::POLLPRI != 0 || has_mark(seen, fd, state)? {
        let hint = "try again when it has been read, or use --close-tcp";
        return refuse("urgent data (MSG_OOB) waits in it", hint);
    }
    let has = |name, room| socket_option(fd, TCP, name, room).is_ok_and(|value| !value.is_empty());
    if has(libc::TCP_ULP, 16) {
        return refuse("the kernel works on its data (TCP_ULP, such as TLS)", close);
    }
    if has(TCP_AO_INFO, INFO) {
        return refuse("its segments are signed (TCP_AO)", close);
    }
    signatures(seen, false)?;
    let queued = (seen.context.held).then(|| queued(fd, state)).transpose()?;
    match queued {
        Some(queued) if !queued.fits() => refuse("more than 64 MiB are queued in it", close),
        _ => Ok(()),
    }
}

/// Refuses keys to sign segments with, which nobody may read: without them a peer takes nothing, and a listener everything.
pub(crate) fn signatures(seen: &Descriptor<'_>, listens: bool) -> Result<(), Problem> {
    let family = seen.socket().map_or(0, |kind| kind.family as u32);
    let ino = seen.stat.ino;
    if !seen.in_network(|all| all.inet.is_signed(family, ino, listens))? {
        return Ok(());
    }
    let problem = "its segments are signed (TCP_MD5SIG)".to_owned();
    Err(Problem::Refused("file.tcp", problem, "close it, or have it use no signatures"))
}

/// Whether urgent data that has been read has left a mark between bytes that have not been: the kernel counts what is to be read
/// only up to it.
fn has_mark(seen: &Descriptor<'_>, fd: BorrowedFd<'_>, state: u8) -> Result<bool, Problem> {
    if !seen.context.held {
        return Ok(false);
    }
    let (family, ino) = (seen.socket().map_or(0, |kind| kind.family as u32), seen.stat.ino);
    let unread = seen.in_network(|all| all.inet.unread(family, ino))?;
    let Some(all) = unread else { return Ok(false) };
    let Queued { unread, .. } = queued(fd, state)?;
    // The end of the peer's data is counted too.
    Ok(unread < all.saturating_sub(u32::from(peer_has_ended(state))))
}

/// RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, state: u8) -> Result<u8, Problem> {
    let received = poll(fd)? & libc::POLLRDHUP != 0;
    Ok(u8::from(received) | u8::from(has_ended(state)) << 1)
}

fn poll(fd: BorrowedFd<'_>) -> Result<i16, Error> {
    let wanted = libc::POLLPRI | libc::POLLRDHUP;
    floe_sys::poll(fd, wanted, Some(Duration::ZERO)).map_err(|e| Error::new("look at a socket", e))
}

/// What is not carried of a connection, in words: from its `struct tcp_info`, and what poll(2) says.
pub(crate) fn lost(info: &[u8], there: i16) -> Vec<String> {
    let mut lost = Vec::new();
    if info.get(OPTIONS).is_some_and(|options| options & ECN != 0) {
        lost.push("its notification of congestion (ECN) is not carried".to_owned());
    }
    if there & libc::POLLERR != 0 {
        lost.push("its errors (SO_ERROR, MSG_ERRQUEUE) are not carried".to_owned());
    }
    lost
}

/// FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING.
fn has_ended(state: u8) -> bool {
    [4, TcpConnection::FIN_WAIT2, 9, 11].contains(&state)
}

/// CLOSE_WAIT, LAST_ACK, CLOSING.
fn peer_has_ended(state: u8) -> bool {
    [8, 9, 11].contains(&state)
}

/// Lengths of the queues.
#[derive(Clone, Copy, Debug)]
struct Queued {
    unread: u32,
    /// Not acknowledged, or not sent; the end of the data is left out.
    to_send: u32,
    unsent: u32,
    end_sent: bool,
}

impl Queued {
    fn fits(&self) -> bool {
        self.unread <= TcpConnection::MOST && self.to_send <= TcpConnection::MOST
    }
}

fn queued(fd: BorrowedFd<'_>, state: u8) -> floe_sys::Result<Queued> {
    let fail = |e| Error::new("ask what is queued", e);
    let unread = floe_sys::pipe_queued(fd).map_err(fail)? as u32;
    let (all, unsent) = (floe_sys::unsent(fd).map_err(fail)? as u32, never_sent(fd)? as u32);
    // The end is counted as a byte, until it is acknowledged.
    let end = u32::from(has_ended(state) && state != TcpConnection::FIN_WAIT2);
    let end_sent = has_ended(state) && unsent == 0;
    let (to_send, unsent) = (all.saturating_sub(end), unsent.saturating_sub(end));
    Ok(Queued { unread, to_send, unsent: unsent.min(to_send), end_sent })
}

impl OfObject for TcpConnection {
    fn collect(files: &Files, out: &mut Findings) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        if !matches!(files.purpose, Some(Purpose::Take { .. })) {
            return Ok(all);
        }
        for some in connections(files).chunks(TOGETHER) {
            let sockets = some.iter().map(|it| duplicate(it.pid, it.fd));
            let repairs = Repairs::watch(sockets.collect::<floe_sys::Result<_>>()?, None, None)?;
            for (at, (it, fd)) in some.iter().zip(repairs.sockets()).enumerate() {
                repairs.begin(at)?;
                let taken = take(fd, it.socket.socket.ino);
                repairs.end(at);
                match taken? {
                    Ok(connection) => all.push(connection),
                    Err(problem) => {
                        let object = format!("fd {} (socket:[{}])", it.fd, it.socket.socket.ino);
                        out.refuse(Finding::of(it.pid, object, "object.tcp", problem));
                    }
                }
            }
            repairs.dismiss()?;
        }
        Ok(all)
    }
}

/// A connection, and the first descriptor that leads to it.
pub(crate) struct Place<'a> {
    pub socket: &'a TcpSocket,
    pub pid: Pid,
    pub fd: FdNum,
}

/// All connections.
pub(crate) fn connections(files: &Files) -> Vec<Place<'_>> {
    let mut all = Vec::new();
    for (_, what) in files.of::<TcpSocket>() {
        let AnyRecord::TcpSocket(socket) = what else { continue };
        if let Some((pid, fd)) = files.place(socket.file)
            && socket.socket.is_connection()
        {
            all.push(Place { socket, pid, fd });
        }
    }
    all
}

/// A duplicate of a descriptor of a process.
pub(crate) fn duplicate(pid: Pid, fd: FdNum) -> floe_sys::Result<OwnedFd> {
    pidfd_getfd(pidfd_open(pid.0 as i32)?.as_fd(), fd.0 as i32).map_err(|e| e.pid(pid.0))
}

/// A connection in repair mode, or why it cannot be had.
fn take(fd: BorrowedFd<'_>, ino: u64) -> floe_sys::Result<Result<TcpConnection, String>> {
    let info = socket_option(fd, TCP, libc::TCP_INFO, INFO)?;
    let byte = |at: usize| info.get(at).copied().unwrap_or(0);
    let (state, options, scales) = (byte(0), byte(OPTIONS), byte(SCALES));
    if !TcpConnection::STATES.contains(&state) {
        return Ok(Err("its connection has ended while it was captured".into()));
    }
    let queued = queued(fd, state)?;
    let (received_to, received) = queue(fd, RECEIVED, queued.unread)?;
    let (sent_to, to_send) = queue(fd, TO_SEND, queued.to_send)?;
    let whole =
        received.len() == queued.unread as usize && to_send.len() == queued.to_send as usize;
    if !whole {
        return Ok(Err("what is queued in it cannot be read as a whole".into()));
    }
    let end = u32::from(has_ended(state));
    let peers_end = u32::from(peer_has_ended(state));
    let agreed = |option: u8| options & option != 0;
    let timestamp = agreed(TIMESTAMPS).then(|| number(fd, TCP, libc::TCP_TIMESTAMP)).transpose()?;
    let size = |name| number(fd, libc::SOL_SOCKET, name).map(i32::cast_unsigned);
    Ok(Ok(TcpConnection {
        ino,
        state,
        receive_seq: received_to.wrapping_sub(queued.unread).wrapping_sub(peers_end),
        send_seq: sent_to.wrapping_sub(queued.to_send).wrapping_sub(end),
        unread: queued.unread,
        unacknowledged: queued.to_send - queued.unsent,
        unsent: queued.unsent,
        end_sent: queued.end_sent,
        // In repair mode this is what the peer takes.
        mss: number(fd, TCP, libc::TCP_MAXSEG)?.cast_unsigned(),
        window_scale: agreed(SCALED).then_some((scales & 15, scales >> 4)),
        sack: agreed(SACK),
        timestamp: timestamp.map(i32::cast_unsigned),
        window: window(fd)?,
        send_buffer: size(libc::SO_SNDBUF)?,
        receive_buffer: size(libc::SO_RCVBUF)?,
        bytes: [received, to_send].concat(),
    }))
}

/// The sequence number at the end of a queue, and the last `len` bytes of what it holds: of the oldest that is to be sent, the
/// kernel may still have what has been acknowledged.
fn queue(fd: BorrowedFd<'_>, which: i32, len: u32) -> floe_sys::Result<(u32, Vec<u8>)> {
    let set = floe_sys::set_socket_option;
    set(fd, TCP, libc::TCP_REPAIR_QUEUE, &which.to_ne_bytes())?;
    let end = number(fd, TCP, libc::TCP_QUEUE_SEQ)?.cast_unsigned();
    let mut bytes = Vec::new();
    // An empty one says EAGAIN, or that the connection has ended.
    let mut room = if len == 0 { 0 } else { len as usize + SEGMENT };
    while room > 0 {
        bytes.resize(room, 0);
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(fd.as_raw_fd(), &mut bytes, flags) {
            Ok(read) => {
                bytes.truncate(read);
                bytes.drain(..read.saturating_sub(len as usize));
                break;
            }
            // The kernel does not cut off what it is to send.
            Err(nix::Error::EFAULT) if room <= 2 * TcpConnection::MOST as usize => room *= 2,
            Err(e) => return Err(Error::new("read what is queued in a connection", e)),
        }
    }
    Ok((end, bytes))
}

/// Most that a segment holds.
const SEGMENT: usize = 1 << 16;

fn window(fd: BorrowedFd<'_>) -> floe_sys::Result<TcpWindow> {
    let bytes = socket_option(fd, TCP, libc::TCP_REPAIR_WINDOW, 20)?;
    let mut words = bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word));
    let mut next = || words.next().unwrap_or(0);
    let (update, peer, peer_most) = (next(), next(), next());
    Ok(TcpWindow { update, peer, peer_most, own: next(), own_at: next() })
}
