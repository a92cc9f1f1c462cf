//! Parts of a socket that are not carried, by comparison with a fresh one: every option that the kernel has is either known here
//! or, where it differs, lost by its name or number. Also filters of eBPF.

use crate::{
    descriptor_of::Descriptor,
    file::{netlink, packet},
    inet,
    inet_options::SOL_RAW,
    socket::{EVERY, NOTHING_TO_UNIX},
    socket_kind::{Kind, number},
};
use floe_sys::{Result, socket_filter_len, socket_option};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

const IP: i32 = libc::IPPROTO_IP;
const IP6: i32 = libc::IPPROTO_IPV6;
const TCP: i32 = libc::IPPROTO_TCP;
const UDP: i32 = libc::IPPROTO_UDP;
const SOCKET: i32 = libc::SOL_SOCKET;

/// Longest value of an option.
const LONGEST: usize = 64;
/// Numbers that options may have, by level. Those of netfilter (from 64 on) are none of the socket's.
const NUMBERS: [(i32, i32); 10] = [
    (SOCKET, 128),
    (IP, 63),
    (IP6, 79),
    (TCP, 63),
    (UDP, 127),
    (SOL_RAW, 15),
    (libc::IPPROTO_ICMPV6, 15),
    (libc::IPPROTO_UDPLITE, 127),
    (netlink::LEVEL, 31),
    (packet::LEVEL, 31),
];
const NETFILTER: [i32; 5] = [64, 65, 66, 68, 69];

/// Options that are no settings, or are carried in another way. Some of them must not even be asked for.
const KNOWN: &[(i32, &[i32])] = &[
    // What kind it is: SO_TYPE, SO_PROTOCOL, SO_DOMAIN. Its state: SO_SNDLOWAT, SO_PEERCRED, SO_PEERNAME, SO_ACCEPTCONN,
    // SO_PEERSEC, SO_INCOMING_CPU, SO_MEMINFO, SO_INCOMING_NAPI_ID, SO_COOKIE, SO_PEERGROUPS, SO_NETNS_COOKIE.
    // SO_ERROR is cleared by being asked for, SO_PEERPIDFD opens a descriptor. Carried: SO_SNDBUF, SO_RCVBUF, SO_BUF_LOCK;
    // SO_BINDTOIFINDEX, SO_RCVTIMEO_NEW and SO_SNDTIMEO_NEW by others of the same meaning; SO_GET_FILTER, SO_LOCK_FILTER.
    // Constants: SO_BSDCOMPAT, SO_BPF_EXTENSIONS.
    (
        SOCKET,
        &[
            3, 4, 7, 8, 14, 17, 19, 26, 28, 30, 31, 38, 39, 44, 48, 49, 55, 56, 57, 59, 62, 66, 67,
            71, 72, 77,
        ],
    ),
    // IP_PKTOPTIONS, IP_MTU, IP_PROTOCOL.
    (IP, &[9, 14, 52]),
    // IPV6_2292PKTOPTIONS, IPV6_MTU, IPV6_PATHMTU.
    (IP6, &[6, 24, 61]),
    // TCP_INFO, TCP_QUICKACK, TCP_TIMESTAMP, TCP_CC_INFO, TCP_SAVED_SYN (given once), TCP_ZEROCOPY_RECEIVE (maps memory),
    // TCP_IS_MPTCP.
    (TCP, &[11, 12, 24, 26, 28, 35, 43]),
    // IPV6_CHECKSUM once more.
    (SOL_RAW, &[7]),
];
/// Options of TCP that say something of the connection where there is one: TCP_MAXSEG, TCP_WINDOW_CLAMP, TCP_RTO_MIN_US,
/// TCP_DELACK_MAX_US. Those of a listener were set by hand.
const OF_CONNECTIONS: [i32; 4] = [2, 10, 45, 46];

/// Names for people.
const NAMES: [((i32, i32), &str); 5] = [
    ((SOCKET, 1), "SO_DEBUG"),
    ((SOCKET, 61), "SO_TXTIME"),
    ((IP, 22), "IP_NODEFRAG"),
    ((TCP, 31), "TCP_ULP"),
    ((TCP, 33), "TCP_FASTOPEN_KEY"),
];

/// Level, number and value of an option.
type Value = (i32, i32, Vec<u8>);

/// What fresh sockets have, by kind.
#[derive(Default)]
pub(crate) struct Fresh {
    values: Mutex<BTreeMap<Kind, Arc<[Value]>>>,
}

impl Fresh {
    /// Parts of this socket that are not carried, in words.
    pub fn losses(&self, seen: &Descriptor<'_>, kind: Kind) -> Result<Vec<String>> {
        let fd = seen.duplicate()?;
        let mut lost = Vec::new();
        // The kernel shows the instructions of a classic one alone.
        if socket_filter_len(fd).is_err() {
            lost.push("its filter, which is none of classic BPF, is not carried".to_owned());
        }
        let fresh = self.of(kind)?;
        let is_tcp = inet::is_tcp(kind) || inet::is_mptcp(kind);
        let connects = is_tcp && number(fd, SOCKET, libc::SO_ACCEPTCONN)? == 0;
        for (level, name, usual) in fresh.iter() {
            let skipped = connects && *level == TCP && OF_CONNECTIONS.contains(name);
            if !skipped && socket_option(fd, *level, *name, LONGEST).is_ok_and(|now| now != *usual)
            {
                lost.push(format!("its option {} is not carried", shown(*level, *name)));
            }
        }
        Ok(lost)
    }

    fn of(&self, kind: Kind) -> Result<Arc<[Value]>> {
        let mut all = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match all.entry(kind) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(values(kind)?.into()).clone(),
        })
    }
}

fn shown(level: i32, name: i32) -> String {
    let known = NAMES.iter().find(|(option, _)| *option == (level, name));
    known.map_or_else(|| format!("{name} of level {level}"), |(_, name)| (*name).to_owned())
}

/// The options of a fresh socket that are neither known nor carried.
fn values(kind: Kind) -> Result<Vec<Value>> {
    let fresh = floe_sys::socket(kind.family, kind.kind, kind.protocol)?;
    let is_of = |level: i32| match level {
        SOCKET => true,
        IP => inet::is_inet(kind),
        IP6 => kind.family == libc::AF_INET6,
        SOL_RAW => inet::is_inet(kind) && kind.kind == libc::SOCK_RAW,
        netlink::LEVEL => kind.family == libc::AF_NETLINK,
        packet::LEVEL => kind.family == libc::AF_PACKET,
        TCP if inet::is_mptcp(kind) => true,
        _ => inet::is_inet(kind) && level == kind.protocol,
    };
    let mut all = Vec::new();
    for (level, last) in NUMBERS.into_iter().filter(|(level, _)| is_of(*level)) {
        for name in (0..=last).filter(|name| !is_known(kind, level, *name)) {
            // Most numbers are no options.
            let value = socket_option(fresh.as_fd(), level, name, LONGEST);
            all.extend(value.ok().map(|value| (level, name, value)));
        }
    }
    Ok(all)
}

fn is_known(kind: Kind, level: i32, name: i32) -> bool {
    let of_netfilter = matches!(level, IP | IP6) && NETFILTER.contains(&name);
    let carried = level == SOCKET && EVERY.contains(&name) || inet::is_carried(kind, (level, name));
    of_netfilter
        || carried
        || netlink::is_carried((level, name))
        || packet::is_carried((level, name))
        || kind.family == libc::AF_UNIX && NOTHING_TO_UNIX.contains(&name)
        || KNOWN.iter().any(|(known, names)| *known == level && names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_without_a_name_are_numbers() {
        assert_eq!(shown(SOCKET, 61), "SO_TXTIME");
        assert_eq!(shown(SOCKET, 99), "99 of level 1");
    }

    #[test]
    fn what_must_not_be_asked_is_not() {
        let kinds =
            [(libc::AF_UNIX, libc::SOCK_STREAM, 0), (libc::AF_INET6, libc::SOCK_STREAM, TCP)];
        for (family, kind, protocol) in kinds {
            let all = values(Kind { family, kind, protocol }).unwrap();
            let asked = |level, name| all.iter().any(|it| (it.0, it.1) == (level, name));
            let forbidden =
                [(SOCKET, libc::SO_ERROR), (SOCKET, 26), (SOCKET, 77), (TCP, 28), (TCP, 35)];
            for (level, name) in forbidden {
                assert!(!asked(level, name), "{level}/{name}");
            }
            assert!(!asked(SOCKET, 37) && !asked(SOCKET, libc::SO_KEEPALIVE));
            assert_eq!(asked(SOCKET, 61), protocol == TCP);
            let most = if family == libc::AF_UNIX { 8 } else { 110 };
            assert!(all.len() < most, "{}: each costs a call for each socket", all.len());
        }
    }
}
