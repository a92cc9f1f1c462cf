//! What was queued in UDP sockets: each datagram comes from its sender once more. The socket has a port for that which nobody else
//! has, and a filter through which nothing comes that restore has not sent; it gives both up before it is bound to its own. So no
//! other socket gets any of them, nothing comes between them, and neither its filter nor its peer is in the way. They go over lo
//! and pass the rules of the firewall like everything else there.

use crate::{
    factory::Factory,
    own_traffic::OwnTraffic,
    resource::ForObject,
    udp_packet::{Sender, address, name_four, name_six},
};
use floe_netlock::MARK;
use floe_records::*;
use floe_sys::{
    Error, Result, attach_filter, bind_raw, connect_raw, set_socket_option, socket, socket_name,
    socket_option,
};
use nix::ifaddrs::getifaddrs;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// SO_BUF_LOCK and SO_MEMINFO.
const BUF_LOCK: i32 = 72;
const MEMINFO: i32 = 55;
/// Larger than any queue.
const LARGE: i32 = 1 << 29;
/// What a datagram says of the interface is noted where one of these is set when it comes.
const INTERFACE: [(i32, i32); 3] = [
    (libc::IPPROTO_IP, libc::IP_PKTINFO),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    (libc::IPPROTO_IPV6, 2),
];
/// What is said where they are not kept from it.
const TRANSLATED: &str = "datagrams in it may say that they come from elsewhere: rules of NAT (iptables) were not kept away from them";
/// Datagrams that do not come although they are waited for, until no more are sent.
const PATIENCE: u32 = 3;

impl ForObject for DatagramQueue {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        let Some(id) = make.datagram_sockets.get(&self.ino).copied() else { return Ok(()) };
        let Some((was, protocol)) = socket_of(make.tree, id) else { return Ok(()) };
        let lost = "messages in it that nobody has read are not carried";
        let notes = match make.within(id, || filled(self, was, protocol, &make.own_traffic)) {
            Ok((fd, notes)) => {
                make.filled.insert(self.ino, fd);
                notes
            }
            Err(e) => vec![format!("{lost}: {e}")],
        };
        make.note(id, notes);
        if self.incomplete {
            make.note(id, vec![lost.to_owned()]);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("what is queued in socket {}", self.ino)
    }
}

/// Sockets that may have such a queue, by inode.
pub(crate) fn sockets(tree: &Tree) -> BTreeMap<u64, FileId> {
    let udp = tree.all::<UdpSocket>().iter().map(|it| (it.socket.ino, it.file));
    let others = tree.all::<DatagramSocket>().iter().map(|it| (it.socket.ino, it.file));
    udp.chain(others).collect()
}

/// What a socket was, and its protocol.
fn socket_of(tree: &Tree, id: FileId) -> Option<(&InetSocket, i32)> {
    if let Some(udp) = tree.get::<UdpSocket>(id) {
        return Some((&udp.socket, libc::IPPROTO_UDP));
    }
    let other = tree.get::<DatagramSocket>(id)?;
    let lite = other.protocol as i32 == libc::IPPROTO_UDPLITE;
    let carried = lite && other.sock_type == DatagramSocket::DATAGRAMS;
    carried.then_some((&other.socket, libc::IPPROTO_UDPLITE))
}

/// A socket that is not bound, with a queue; and what could not be put into it.
fn filled(
    queue: &DatagramQueue,
    was: &InetSocket,
    protocol: i32,
    own: &OwnTraffic,
) -> Result<(OwnedFd, Vec<String>)> {
    let fd = socket(was.family as i32, libc::SOCK_DGRAM, protocol)?;
    if queue.messages.is_empty() {
        return Ok((fd, Vec::new()));
    }
    let set = |level, name, value: &[u8]| set_socket_option(fd.as_fd(), level, name, value);
    let get = |name| socket_option(fd.as_fd(), libc::SOL_SOCKET, name, 4);
    let (size, lock) = (get(libc::SO_RCVBUF)?, get(BUF_LOCK));
    set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &LARGE.to_ne_bytes())?;
    for it in was.options.iter().filter(|it| INTERFACE.contains(&(it.level, it.name))) {
        // Another kernel may not have it, which is told when it is set for good.
        let _ = set(it.level, it.name, &it.value.0);
    }
    let any = match was.family as i32 {
        libc::AF_INET => name_four(Ipv4Addr::UNSPECIFIED),
        _ => {
            set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &[0; 4])?;
            name_six(Ipv6Addr::UNSPECIFIED)
        }
    };
    attach_filter(fd.as_fd(), &only_ours())?;
    bind_raw(fd.as_fd(), &any)?;
    let translated = own.untrack()?;
    let mut notes = fill(queue, &fd, protocol)?;
    if translated {
        notes.push(TRANSLATED.to_owned());
    }
    // Ends a binding to a port that was not asked for.
    connect_raw(fd.as_fd(), &[0; 16])?;
    set(libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &[0; 4])?;
    let size = size.try_into().map_or(0, i32::from_ne_bytes);
    set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(size / 2).to_ne_bytes())?;
    if let Ok(lock) = lock {
        set(libc::SOL_SOCKET, BUF_LOCK, &lock)?;
    }
    Ok((fd, notes))
}

/// A filter of classic BPF: nothing but what has our mark.
fn only_ours() -> Vec<u8> {
    // SKF_AD_OFF + SKF_AD_MARK of include/uapi/linux/filter.h.
    const OF_MARK: u32 = (-0x1000i32 + 20) as u32;
    // Load; skip one instruction unless equal; accept; drop.
    let program = [(0x20u16, [0, 0], OF_MARK), (0x15, [0, 1], MARK), (6, [0, 0], u32::MAX)];
    let program = program.into_iter().chain([(6, [0, 0], 0)]);
    let bytes = |(code, jumps, k): (u16, [u8; 2], u32)| {
        [&code.to_ne_bytes()[..], &jumps, &k.to_ne_bytes()].concat()
    };
    program.flat_map(bytes).collect()
}

/// Sends all datagrams to the port that a socket has now.
fn fill(queue: &DatagramQueue, fd: &OwnedFd, protocol: i32) -> Result<Vec<String>> {
    let damaged = || Error::because("fill a socket", "the record is damaged");
    let port = address(&socket_name(fd.as_fd())?).ok_or_else(damaged)?.1;
    let (mut sender, own) = (Sender::new(protocol), addresses()?);
    let (mut rest, mut moved, mut why) = (&queue.bytes[..], 0, None);
    let (mut failed, mut silent) = (0, 0);
    for message in &queue.messages {
        let cut = rest.split_at_checked(message.len as usize);
        let (bytes, behind) = cut.ok_or_else(damaged)?;
        rest = behind;
        let to = address(&message.to.0).ok_or_else(damaged)?.0;
        let there = to.is_loopback() || own.contains(&to);
        let to = match to {
            to if there => to,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        moved += u32::from(!there);
        let before = memory(fd)?;
        if silent >= PATIENCE {
            failed += 1;
            continue;
        }
        match sender.send(message, bytes, (to, port)) {
            Ok(()) if arrives(fd, before)? => {}
            Ok(()) => (failed, silent) = (failed + 1, silent + 1),
            Err(e) => (failed, why) = (failed + 1, Some(e.cause().to_string())),
        }
    }
    let mut notes = Vec::new();
    if failed > 0 {
        let why = why.unwrap_or_else(|| "they were not let through over lo".to_owned());
        notes.push(format!("{failed} datagrams that nobody has read are not carried: {why}"));
    }
    if moved > 0 {
        notes.push(format!(
            "{moved} datagrams in it were sent to what is no address of this machine, and say another one (IP_PKTINFO)"
        ));
    }
    Ok(notes)
}

/// Whether something comes into a queue, which nobody but us sends to. It does so at once, if at all.
fn arrives(fd: &OwnedFd, before: u32) -> Result<bool> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        if memory(fd)? != before {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

/// Memory of what is queued (SK_MEMINFO_RMEM_ALLOC).
fn memory(fd: &OwnedFd) -> Result<u32> {
    let info = socket_option(fd.as_fd(), libc::SOL_SOCKET, MEMINFO, 64)?;
    let none = || Error::because("ask what is queued", "the kernel does not tell");
    info.first_chunk().copied().map(u32::from_ne_bytes).ok_or_else(none)
}

/// Addresses of this machine, but those that mean something on a link only.
fn addresses() -> Result<Vec<IpAddr>> {
    let all = getifaddrs().map_err(|e| Error::new("list the addresses of this machine", e))?;
    let ip = |of: nix::ifaddrs::InterfaceAddress| {
        let address = of.address?;
        let four = address.as_sockaddr_in().map(|name| IpAddr::V4(name.ip()));
        let six = || address.as_sockaddr_in6().map(|name| IpAddr::V6(name.ip()));
        four.or_else(six)
    };
    let is_plain = |ip: &IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    Ok(all.filter_map(ip).filter(is_plain).collect())
}
