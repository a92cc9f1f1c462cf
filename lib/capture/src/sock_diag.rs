//! What sock_diag(7) tells of sockets.

use crate::{
    diag_of,
    multicast::{self, Group},
};
use floe_netlock::Network;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, Nla as _,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    inet::{self, ExtensionFlags, InetRequest, SocketId},
    unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse, nlas::Nla},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{Error, Result},
    os::fd::BorrowedFd,
    sync::OnceLock,
};

/// TCP_LISTEN, which UNIX sockets use as well.
const LISTEN: u8 = 10;
/// The kernel never sends more at a time.
const ROOM: usize = 32 << 10;

/// State of a UNIX socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UnixState {
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub kind: i32,
    pub listening: bool,
    /// Inode of the peer; 0 for one that has no socket (yet, or any more).
    pub peer: Option<u64>,
    /// Connections that wait for accept(2); or bytes that are queued, of datagrams those of the first one.
    pub queued: u32,
    /// Bytes that it has sent and its peer has not read, as the kernel counts them.
    pub unread: u32,
    /// Of a listener.
    pub backlog: u32,
    /// RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
    pub shutdown: u8,
    /// Inode (its lower half) and device (as the kernel counts it) of the file of its name. An accepted socket has that of its
    /// listener.
    pub node: Option<(u32, u32)>,
}

/// The UNIX sockets of our network namespace, read when the first of them is asked for: a request for a single one makes
/// the kernel walk through all of them.
#[derive(Debug, Default)]
pub(crate) struct UnixSockets(OnceLock<AllUnix>);

#[derive(Debug, Default)]
struct AllUnix {
    states: HashMap<u32, UnixState>,
    /// Of listeners: inodes of sockets that have connected and wait for accept(2), oldest first; 0 for one that is closed.
    waiting: HashMap<u32, Vec<u32>>,
}

impl UnixSockets {
    /// Whether any socket has a file with this inode.
    pub fn have_node(&self, ino: u32) -> bool {
        let all = self.0.get().into_iter().flat_map(|all| all.states.values());
        all.filter_map(|state| state.node).any(|node| node.0 == ino)
    }

    /// Inodes of the sockets that have connected to a listener and wait for accept(2), oldest first; 0 for one that has been
    /// closed. Of a listener that [`UnixSockets::find`] has found.
    pub fn waiting(&self, ino: u64) -> Vec<u64> {
        let ino = u32::try_from(ino).ok();
        let found = ino.and_then(|ino| self.0.get()?.waiting.get(&ino));
        found.into_iter().flatten().copied().map(u64::from).collect()
    }

    /// Whether a socket waits for accept(2) of any listener.
    pub fn waits(&self, ino: u64) -> bool {
        let all = self.0.get().into_iter().flat_map(|all| all.waiting.values().flatten());
        all.copied().any(|it| u64::from(it) == ino)
    }

    /// The state of a socket; `None` for one that is no UNIX socket of this namespace.
    pub fn find(&self, ino: u64) -> Result<Option<UnixState>> {
        if self.0.get().is_none() {
            let _ = self.0.set(ask(NLM_F_DUMP, 0)?);
        }
        let Ok(ino) = u32::try_from(ino) else { return Ok(None) };
        Ok(self.0.get().and_then(|all| all.states.get(&ino)).copied())
    }
}

/// The state of a single socket.
pub(crate) fn unix_socket(ino: u64) -> Result<UnixState> {
    let none = || Error::from_raw_os_error(libc::ENOENT);
    let ino = u32::try_from(ino).map_err(|_| none())?;
    ask(0, ino)?.states.remove(&ino).ok_or_else(none)
}

/// TCP_BOUND_INACTIVE: bound, and neither listening nor connected (Linux 6.8).
const BOUND: u8 = 13;

/// TCP and UDP sockets of our network namespace, as far as nothing else tells of them; read when they are asked for.
#[derive(Debug, Default)]
pub(crate) struct InetSockets {
    /// UDP sockets that have a port, by family and inode.
    udp: OnceLock<BTreeMap<(u32, u32), Told>>,
    /// The same of UDP-Lite.
    udp_lite: OnceLock<BTreeMap<(u32, u32), Told>>,
    /// TCP sockets that have a port and do nothing with it.
    bound: OnceLock<BTreeMap<(u32, u32), Told>>,
    /// TCP sockets that listen.
    listening: OnceLock<BTreeMap<(u32, u32), Told>>,
    /// TCP sockets that are connected.
    connected: OnceLock<BTreeMap<(u32, u32), Told>>,
    /// Why the network cannot be kept away from connections, once that has been tried.
    unlockable: OnceLock<Option<String>>,
    /// Multicast groups that somebody is a member of.
    groups: OnceLock<Vec<Group>>,
    /// Netlink sockets, by inode.
    netlink: OnceLock<HashMap<u32, diag_of::Netlink>>,
    /// Packet sockets, by inode.
    packets: OnceLock<HashMap<u32, diag_of::Packet>>,
}

/// INET_DIAG_MD5SIG of linux/inet_diag.h.
const MD5_KEYS: u16 = 18;

/// What is told of a socket.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// RCV_SHUTDOWN and SEND_SHUTDOWN.
    shutdown: u8,
    /// Bytes that have been received and not read.
    unread: u32,
    /// It has keys of TCP_MD5SIG.
    signed: bool,
}

impl InetSockets {
    /// RCV_SHUTDOWN and SEND_SHUTDOWN of a socket of UDP or UDP-Lite; 0 of one that has no port, and of another protocol, of which
    /// nothing is told.
    pub fn shutdown(
        &self,
        protocol: i32,
        family: u32,
        ino: u64,
    ) -> std::result::Result<u8, floe_sys::Error> {
        let cell = match protocol {
            libc::IPPROTO_UDP => &self.udp,
            libc::IPPROTO_UDPLITE => &self.udp_lite,
            _ => return Ok(0),
        };
        let all = known(cell, protocol as u8, StateFlags::from_bits_retain(u32::MAX))?;
        Ok(find(all, family, ino).map_or(0, |told| told.shutdown))
    }

    /// Bytes that a connection of TCP has received and its process has not read, its end (FIN) included; `None` for one that is not
    /// in our network namespace.
    pub fn unread(
        &self,
        family: u32,
        ino: u64,
    ) -> std::result::Result<Option<u32>, floe_sys::Error> {
        Ok(find(self.connected()?, family, ino).map(|told| told.unread))
    }

    fn connected(&self) -> std::result::Result<&BTreeMap<(u32, u32), Told>, floe_sys::Error> {
        // All but TCP_CLOSE and TCP_LISTEN.
        let states = StateFlags::from_bits_retain(0xfff & !(1 << 7 | 1 << LISTEN));
        known(&self.connected, libc::IPPROTO_TCP as u8, states)
    }

    /// Whether a connection of TCP, or a socket that listens, has keys to sign segments with (TCP_MD5SIG). They are told to those
    /// with CAP_NET_ADMIN alone.
    pub fn is_signed(
        &self,
        family: u32,
        ino: u64,
        listens: bool,
    ) -> std::result::Result<bool, floe_sys::Error> {
        let states = StateFlags::from_bits_retain(1 << LISTEN);
        let all = match listens {
            true => known(&self.listening, libc::IPPROTO_TCP as u8, states)?,
            false => self.connected()?,
        };
        Ok(find(all, family, ino).is_some_and(|told| told.signed))
    }

    /// The state of a netlink socket that has a number.
    pub fn netlink(
        &self,
        ino: u64,
    ) -> std::result::Result<Option<diag_of::Netlink>, floe_sys::Error> {
        of_kind(&self.netlink, "ask sock_diag for netlink sockets", diag_of::netlink, ino)
    }

    /// The state of a packet socket.
    pub fn packet(
        &self,
        ino: u64,
    ) -> std::result::Result<Option<diag_of::Packet>, floe_sys::Error> {
        of_kind(&self.packets, "ask sock_diag for packet sockets", diag_of::packets, ino)
    }

    /// The multicast groups that somebody in our network namespace is a member of.
    pub fn groups(&self) -> std::result::Result<&[Group], floe_sys::Error> {
        if self.groups.get().is_none() {
            let _ = self.groups.set(multicast::groups()?);
        }
        Ok(self.groups.get().map_or(&[], Vec::as_slice))
    }

    /// Why the network cannot be kept away from connections, where it cannot; tried with this one of them.
    pub fn unlockable(&self, connection: BorrowedFd<'_>) -> Option<&str> {
        let tried = || {
            let held = Network::of(connection)
                .and_then(|network| network.hold(floe_netlock::new_id()?, &BTreeSet::new()));
            held.err().map(|error| match error.errno() {
                Some(libc::EPERM | libc::EACCES) => "it takes CAP_NET_ADMIN".to_owned(),
                _ => error.to_string(),
            })
        };
        self.unlockable.get_or_init(tried).as_deref()
    }

    /// Whether a TCP socket that is closed has a port. Kernels before 6.8 do not tell: a connection that has ended has none, unless
    /// it was bound by hand.
    pub fn is_bound(&self, family: u32, ino: u64) -> std::result::Result<bool, floe_sys::Error> {
        let states = StateFlags::from_bits_retain(1 << BOUND);
        let all = known(&self.bound, libc::IPPROTO_TCP as u8, states)?;
        Ok(find(all, family, ino).is_some())
    }
}

/// The state of one socket of a kind, all of which are read when the first of them is asked for.
fn of_kind<T: Clone>(
    cell: &OnceLock<HashMap<u32, T>>,
    doing: &'static str,
    all: fn() -> Result<HashMap<u32, T>>,
    ino: u64,
) -> std::result::Result<Option<T>, floe_sys::Error> {
    if cell.get().is_none() {
        let _ = cell.set(all().map_err(|e| floe_sys::Error::new(doing, e))?);
    }
    let Ok(ino) = u32::try_from(ino) else { return Ok(None) };
    Ok(cell.get().and_then(|all| all.get(&ino)).cloned())
}

fn find(all: &BTreeMap<(u32, u32), Told>, family: u32, ino: u64) -> Option<Told> {
    u32::try_from(ino).ok().and_then(|ino| all.get(&(family, ino))).copied()
}

fn known(
    cell: &OnceLock<BTreeMap<(u32, u32), Told>>,
    protocol: u8,
    states: StateFlags,
) -> std::result::Result<&BTreeMap<(u32, u32), Told>, floe_sys::Error> {
    if let Some(all) = cell.get() {
        return Ok(all);
    }
    let mut all = BTreeMap::new();
    for (family, socket_id) in
        [(libc::AF_INET, SocketId::new_v4()), (libc::AF_INET6, SocketId::new_v6())]
    {
        let request = InetRequest {
            family: family as u8,
            protocol,
            // Without it the kernel does not tell of keys.
            extensions: ExtensionFlags::INFO,
            states: inet::StateFlags::from_bits_retain(states.bits()),
            socket_id,
        };
        let told = request_all(NLM_F_DUMP, SockDiagMessage::InetRequest(request), &mut |message| {
            if let SockDiagMessage::InetResponse(told) = message {
                let shutdown = told.nlas.iter().find_map(|nla| match nla {
                    inet::nlas::Nla::Shutdown(how) => Some(*how),
                    _ => None,
                });
                let (shutdown, unread) = (shutdown.unwrap_or(0), told.header.recv_queue);
                let signed = told.nlas.iter().any(|nla| nla.kind() == MD5_KEYS);
                let told_of = Told { shutdown, unread, signed };
                all.insert((family as u32, told.header.inode), told_of);
            }
        });
        told.map_err(|e| floe_sys::Error::new("ask sock_diag for sockets", e))?;
    }
    Ok(cell.get_or_init(|| all))
}

fn ask(flags: u16, inode: u32) -> Result<AllUnix> {
    let request = UnixRequest {
        // Those that are neither connected nor listening are in TCP_CLOSE.
        state_flags: StateFlags::from_bits_retain(u32::MAX),
        inode,
        show_flags: ShowFlags::PEER | ShowFlags::RQLEN | ShowFlags::VFS | ShowFlags::ICONS,
        cookie: [0xff; 8],
    };
    let mut found = AllUnix::default();
    request_all(flags, SockDiagMessage::UnixRequest(request), &mut |message| {
        if let SockDiagMessage::UnixResponse(told) = message {
            found.states.insert(told.header.inode, state(told));
            for nla in &told.nlas {
                if let Nla::PendingConnections(all) = nla {
                    found.waiting.insert(told.header.inode, all.clone());
                }
            }
        }
    })?;
    Ok(found)
}

/// Makes a request, and hands on each answer.
pub(crate) fn request_all<M>(flags: u16, request: M, each: &mut dyn FnMut(&M)) -> Result<()>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut bytes = Vec::with_capacity(ROOM);
    loop {
        bytes.clear();
        socket.recv(&mut bytes, 0)?;
        let more = take(&bytes, each)?;
        if flags == 0 || !more {
            return Ok(());
        }
    }
}

/// Takes the messages of one answer; false behind the last one of a dump.
fn take<M: NetlinkDeserializable>(mut bytes: &[u8], each: &mut dyn FnMut(&M)) -> Result<bool> {
    while !bytes.is_empty() {
        let message = <NetlinkMessage<M>>::deserialize(bytes).map_err(Error::other)?;
        let len = (message.header.length as usize).next_multiple_of(4);
        match message.payload {
            NetlinkPayload::InnerMessage(answer) => each(&answer),
            NetlinkPayload::Done(_) => return Ok(false),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => return Err(Error::other("unknown answer")),
        }
        bytes = bytes.get(len..).unwrap_or_default();
    }
    Ok(true)
}

fn state(told: &UnixResponse) -> UnixState {
    let mut state = UnixState {
        kind: i32::from(told.header.kind),
        listening: told.header.state == LISTEN,
        peer: told.peer().map(u64::from),
        queued: 0,
        unread: 0,
        backlog: 0,
        shutdown: 0,
        node: None,
    };
    for nla in &told.nlas {
        match nla {
            Nla::ReceiveQueueLength(queued, backlog) => {
                (state.queued, state.backlog) = (*queued, *backlog);
                state.unread = if state.listening { 0 } else { *backlog };
            }
            Nla::Shutdown(how) => state.shutdown = *how,
            Nla::Vfs(_) => {
                // `struct unix_diag_vfs`: inode, then device.
                let mut vfs = [0; 8];
                if nla.value_len() == vfs.len() {
                    nla.emit_value(&mut vfs);
                    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|n| vfs[at + n]));
                    state.node = Some((word(0), word(4)));
                }
            }
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        net::Shutdown,
        os::unix::{
            fs::MetadataExt,
            net::{UnixDatagram, UnixStream},
        },
    };

    fn ino(fd: &impl std::os::fd::AsRawFd) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().ino()
    }

    #[test]
    fn all_and_one_agree() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"seven..").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let lone = UnixDatagram::unbound().unwrap();
        let all = UnixSockets::default();
        let state = all.find(ino(&far)).unwrap().unwrap();
        assert_eq!((state.kind, state.listening), (libc::SOCK_STREAM, false));
        assert_eq!((state.peer, state.queued, state.shutdown), (Some(ino(&near)), 7, 1));
        assert_eq!(unix_socket(ino(&far)).unwrap(), state);
        assert_eq!(all.find(ino(&lone)).unwrap().unwrap().kind, libc::SOCK_DGRAM);
        assert_eq!(unix_socket(ino(&lone)).unwrap().peer, None);
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(all.find(ino(&tcp)).unwrap(), None);
        assert_eq!(unix_socket(ino(&tcp)).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
