//! What is queued in sockets of UDP and UDP-Lite. A peek with an offset walks over it, and options that tell more of a datagram say where
//! it was sent to. An error that waits for the process would be taken by a peek, so there is none then.
//!
//! The offset shows an empty datagram to one walk only: the kernel then takes it for seen. So there is a single walk, and one that
//! was there before shows where the first datagram is such a one.

use crate::{
    Result,
    files::{Files, Purpose},
    inet,
    resource::OfObject,
    socket_kind::{Kind, number},
};
use floe_records::{AnyRecord, Bytes, Datagram, DatagramQueue, Findings, InetSocket};
use floe_sys::{
    Error, PeekOffsets, PeekedDatagram, peek_datagram, peek_offset, peer_name, pipe_queued, poll,
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

const IP: i32 = libc::IPPROTO_IP;
const IP6: i32 = libc::IPPROTO_IPV6;

/// What says all that is kept of a datagram.
const TELLING: [(i32, i32); 6] = [
    (IP, libc::IP_RECVORIGDSTADDR),
    (IP, libc::IP_RECVTTL),
    (IP, libc::IP_RECVTOS),
    (IP6, libc::IPV6_RECVORIGDSTADDR),
    (IP6, libc::IPV6_RECVHOPLIMIT),
    (IP6, libc::IPV6_RECVTCLASS),
];

/// What tells a program more of a datagram than is kept: times, marks, the port that it was sent to, headers and options of IP; what
/// becomes of it in the kernel (UDP_ENCAP). The numbers are, in their order, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW,
/// SO_RCVMARK, SO_RCVPRIORITY; IP_CHECKSUM, IP_RECVFRAGSIZE; IPV6_2292HOPOPTS, IPV6_2292DSTOPTS, IPV6_2292RTHDR, IPV6_2292HOPLIMIT,
/// IPV6_FLOWINFO; UDP_ENCAP.
const MORE: [(i32, i32); 25] = [
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPING),
    (libc::SOL_SOCKET, 63),
    (libc::SOL_SOCKET, 64),
    (libc::SOL_SOCKET, 65),
    (libc::SOL_SOCKET, libc::SO_WIFI_STATUS),
    (libc::SOL_SOCKET, 75),
    (libc::SOL_SOCKET, 82),
    (IP, libc::IP_RECVOPTS),
    (IP, libc::IP_RETOPTS),
    (IP, libc::IP_PASSSEC),
    (IP, libc::IP_RECVORIGDSTADDR),
    (IP, 23),
    (IP, 25),
    (IP6, 3),
    (IP6, 4),
    (IP6, 5),
    (IP6, 8),
    (IP6, 11),
    (IP6, libc::IPV6_RECVHOPOPTS),
    (IP6, libc::IPV6_RECVRTHDR),
    (IP6, libc::IPV6_RECVDSTOPTS),
    (IP6, libc::IPV6_RECVORIGDSTADDR),
    (libc::IPPROTO_UDP, 100),
];
/// lo, in each network namespace.
const LOOPBACK: u32 = 1;

/// Whether what is queued in such a socket can be carried.
pub(crate) fn is_carried(kind: Kind) -> bool {
    let protocols = [libc::IPPROTO_UDP, libc::IPPROTO_UDPLITE];
    inet::is_inet(kind) && kind.kind == libc::SOCK_DGRAM && protocols.contains(&kind.protocol)
}

/// Whether something is queued in a socket that cannot be carried, as far as that shows while the target runs.
pub(crate) fn loses(fd: BorrowedFd<'_>) -> Result<bool> {
    let there = ready(fd)?;
    if there & libc::POLLIN == 0 {
        return Ok(false);
    }
    // Behind an end of reading, there may be nothing.
    if tells_more(fd, there)? {
        return Ok(there & libc::POLLRDHUP == 0);
    }
    // Of one without a peer, a peek takes no error.
    let told = number(fd, IP, libc::IP_PKTINFO).unwrap_or(0) != 0
        || number(fd, IP6, libc::IPV6_RECVPKTINFO).unwrap_or(0) != 0;
    if !told || !peer_name(fd)?.is_empty() {
        return Ok(false);
    }
    // A peek at an empty one would hide it from the walk.
    if pipe_queued(fd).map_err(|e| Error::new("ask what is queued", e))? == 0 {
        return Ok(false);
    }
    let first = peek_datagram(fd, &mut [])?;
    Ok(first.is_some_and(|first| first.control.iter().any(|it| !is_kept(it))))
}

fn ready(fd: BorrowedFd<'_>) -> Result<i16> {
    let there = poll(fd, libc::POLLIN | libc::POLLRDHUP, Some(Duration::ZERO));
    Ok(there.map_err(|e| Error::new("look at a socket", e))?)
}

/// Whether datagrams of a socket tell more than is kept, or cannot be seen without a trace.
fn tells_more(fd: BorrowedFd<'_>, there: i16) -> Result<bool> {
    let is_set = |(level, name): &(i32, i32)| {
        floe_sys::socket_option(fd, *level, *name, 4).is_ok_and(|value| value != [0; 4])
    };
    Ok(there & libc::POLLERR != 0 || peek_offset(fd)? >= 0 || MORE.iter().any(is_set))
}

/// Whether something that comes with a datagram comes with it again.
fn is_kept((level, kind, data): &(i32, i32, Vec<u8>)) -> bool {
    let word = |at: usize| {
        let word = data.get(at..).and_then(|bytes| bytes.first_chunk().copied());
        word.map(u32::from_ne_bytes)
    };
    match (*level, *kind) {
        (IP, libc::IP_TTL | libc::IP_TOS | libc::IP_ORIGDSTADDR) => true,
        (IP6, libc::IPV6_HOPLIMIT | libc::IPV6_TCLASS | libc::IPV6_ORIGDSTADDR) => true,
        // It comes back over lo.
        (IP, libc::IP_PKTINFO) => word(0) == Some(LOOPBACK),
        (IP6, libc::IPV6_PKTINFO) => word(16) == Some(LOOPBACK),
        _ => false,
    }
}

impl OfObject for DatagramQueue {
    fn collect(files: &Files, _: &mut Findings) -> Result<Vec<Self>> {
        if !matches!(files.purpose, Some(Purpose::Take { .. })) {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for (open, what) in &files.all {
            let socket = match what {
                AnyRecord::UdpSocket(it) => &it.socket,
                AnyRecord::DatagramSocket(it) => &it.socket,
                _ => continue,
            };
            sources.extend(files.duplicates.get(&open.id).map(|fd| (socket, fd.as_fd())));
        }
        let (mut all, mut walks) = (Vec::new(), Vec::new());
        for (socket, fd) in sources {
            let there = ready(fd)?;
            if there & libc::POLLIN == 0 {
                continue;
            }
            if !tells_more(fd, there)? {
                walks.push((socket, fd));
            } else if there & libc::POLLRDHUP == 0 {
                let queue = empty(socket);
                all.push(Self { incomplete: true, ..queue });
            }
        }
        if walks.is_empty() {
            return Ok(all);
        }
        let fds: Vec<BorrowedFd<'_>> = walks.iter().map(|(_, fd)| *fd).collect();
        let telling = PeekOffsets::rewind_telling(&fds, &TELLING)?;
        let mut buffer = vec![0; 1 << 16];
        let mut queues: Vec<Self> =
            walks.iter().map(|(socket, fd)| walk(socket, *fd, &mut buffer)).collect();
        drop(telling);
        for (queue, (_, fd)) in queues.iter_mut().zip(&walks) {
            let shown = queue.messages.first().is_some_and(|first| first.len == 0);
            let first = peek_datagram(*fd, &mut [])?.map(|first| first.len);
            queue.incomplete |= first == Some(0) && !shown;
        }
        all.extend(queues.into_iter().filter(|it| it.incomplete || !it.messages.is_empty()));
        Ok(all)
    }
}

fn empty(socket: &InetSocket) -> DatagramQueue {
    let (messages, bytes) = (Vec::new(), Vec::new());
    DatagramQueue { ino: socket.ino, messages, incomplete: false, bytes }
}

/// All that is queued in a socket, without taking it.
fn walk(socket: &InetSocket, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> DatagramQueue {
    let mut queue = empty(socket);
    loop {
        let seen = match peek_datagram(fd, buffer) {
            Ok(Some(seen)) => seen,
            Ok(None) => return queue,
            // An error of an earlier message has come in this moment.
            Err(_) => return DatagramQueue { incomplete: true, ..queue },
        };
        let len = seen.len;
        let room = queue.messages.len() < DatagramQueue::MANY
            && queue.bytes.len() + len <= DatagramQueue::MOST;
        if !room {
            return DatagramQueue { incomplete: true, ..queue };
        }
        match (datagram(seen), buffer.get(..len)) {
            (Some(datagram), Some(bytes)) => {
                queue.messages.push(datagram);
                queue.bytes.extend_from_slice(bytes);
            }
            _ => queue.incomplete = true,
        }
    }
}

/// `None` where it would not come back as it was.
fn datagram(seen: PeekedDatagram) -> Option<Datagram> {
    if seen.control.iter().any(|it| !is_kept(it)) || is_of_a_link(&seen.from) {
        return None;
    }
    let of = |wanted: [(i32, i32); 2]| {
        let mut all = seen.control.iter();
        all.find(|(level, kind, _)| wanted.contains(&(*level, *kind))).map(|(.., data)| data)
    };
    let byte = |wanted| of(wanted).and_then(|data| data.first().copied());
    let to = of([(IP, libc::IP_ORIGDSTADDR), (IP6, libc::IPV6_ORIGDSTADDR)])?;
    Some(Datagram {
        len: seen.len as u32,
        ttl: byte([(IP, libc::IP_TTL), (IP6, libc::IPV6_HOPLIMIT)])?,
        tos: byte([(IP, libc::IP_TOS), (IP6, libc::IPV6_TCLASS)])?,
        to: Bytes(to.clone()),
        from: Bytes(seen.from),
    })
}

/// An address that names another interface than lo, by which it would come back.
fn is_of_a_link(from: &[u8]) -> bool {
    let scope = from.get(24..28).and_then(|bytes| bytes.first_chunk().copied());
    scope.map(u32::from_ne_bytes).is_some_and(|scope| ![0, LOOPBACK].contains(&scope))
}
