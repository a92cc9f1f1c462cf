//! Makes interfaces.

use crate::{
    Link, LinkKind, Message, Netlink, OuterEnd, OuterEnds,
    link::{HEAD, NEW_LINK, RUNNING, SETTABLE, UP, attribute::*, links},
    link_kind::PORT_NUMBER,
};
use floe_sys::{Error, NewTun, Result, make_tun};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// RTM_SETLINK and RTM_NEWLINKPROP.
pub(crate) const SET_LINK: u16 = 19;
const NEW_NAMES: u16 = 108;
/// IF_OPER_UP.
const WORKS: u8 = 6;
/// VETH_INFO_PEER.
const PEER: u16 = 1;
/// IFLA_INET6_ADDR_GEN_MODE; IN6_ADDR_GEN_MODE_NONE.
const GENERATED: u16 = 8;
const NONE: u8 = 1;

/// Makes what is there what is wanted. No interface makes an IPv6 address of its own, nor looks whether another has one: the
/// variables of the namespace, which say that they do, are written later.
///
/// # Errors
/// Why an interface cannot be had.
pub fn make_links(net: &Netlink, wanted: &[Link], outer: &OuterEnds<'_>) -> Result<()> {
    let mut there = by_index(net)?;
    let mut left: Vec<&Link> = wanted.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        let mut later = Vec::new();
        for link in left {
            let waits = link.kind() != Some(LinkKind::Veth)
                && link.lower.is_some_and(|lower| !there.contains_key(&lower));
            if waits {
                later.push(link);
            } else if !there.contains_key(&link.index) {
                let peer = match link.elsewhere {
                    true => outer.get(&link.name).map(Peer::Outer),
                    false => wanted.iter().find(|it| Some(it.index) == link.lower).map(Peer::Here),
                };
                create(net, link, peer).map_err(|e| named(link, e))?;
                there = by_index(net)?;
            }
        }
        left = later;
        if left.len() == before {
            let doing = format!("make {}", shown(left[0]));
            return Err(Error::because(doing, "what it is made on is not there"));
        }
    }
    // A port may change its bridge: ports come first.
    let (mut ports, others): (Vec<&Link>, Vec<&Link>) =
        wanted.iter().partition(|link| link.master.is_some());
    ports.sort_by_key(|link| {
        let number = link.port.iter().find(|(kind, _)| *kind == PORT_NUMBER);
        number.and_then(|(_, value)| value.first_chunk().copied()).map(u16::from_ne_bytes)
    });
    for link in ports.iter().chain(&others) {
        configure(net, link).map_err(|e| named(link, e))?;
    }
    // What is made on another can be up only when that is.
    let mut up = BTreeSet::new();
    while up.len() < wanted.len() {
        let before = up.len();
        for link in wanted.iter().filter(|link| !up.contains(&link.index)).collect::<Vec<_>>() {
            let own = |lower: &u32| link.kind() == Some(LinkKind::Veth) || up.contains(lower);
            if link.lower.as_ref().is_none_or(own) {
                set_flags(net, link).map_err(|e| named(link, e))?;
                up.insert(link.index);
            }
        }
        if up.len() == before {
            break;
        }
    }
    Ok(())
}

/// Waits until all those that had something at their other end have it again; some time, since that may be gone.
///
/// # Errors
/// Those of netlink.
pub fn await_carriers(net: &Netlink, wanted: &[Link]) -> Result<()> {
    let begin = Instant::now();
    loop {
        let there = by_index(net)?;
        // One whose state nobody tells, such as dummy, just runs; of the others that means that it is not known yet.
        let told = |link: &Link| matches!(link.kind.as_slice(), b"veth" | b"bridge" | b"macvlan");
        let works = |it: &Link| it.state == WORKS || !told(it) && it.flags & RUNNING != 0;
        let runs = |link: &&Link| there.get(&link.index).is_none_or(works);
        let waited = wanted.iter().filter(|link| link.flags & (UP | RUNNING) == UP | RUNNING);
        if waited.filter(|link| !runs(link)).count() == 0
            || begin.elapsed() > Duration::from_secs(2)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn by_index(net: &Netlink) -> Result<BTreeMap<u32, Link>> {
    Ok(links(net)?.into_iter().map(|link| (link.index, link)).collect())
}

fn shown(link: &Link) -> String {
    format!("the interface {}", String::from_utf8_lossy(&link.name))
}

fn named(link: &Link, error: Error) -> Error {
    Error::because(format!("make {}", shown(link)), error.to_string())
}

pub(crate) fn head(index: u32, flags: u32, change: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    head
}

/// What an interface can be made with.
fn whole(link: &Link) -> Message {
    let whole = Message::new(head(link.index, 0, 0)).text(NAME, &link.name);
    let [senders, receivers] = link.queues;
    let whole = whole.number(MTU, link.mtu).number(QUEUE_LENGTH, link.queue_length);
    let whole = whole.number(SENDERS, senders).number(RECEIVERS, receivers);
    if link.address.is_empty() { whole } else { whole.with(ADDRESS, link.address.clone()) }
}

/// The other end of a pair.
enum Peer<'a> {
    Here(&'a Link),
    Outer(&'a OuterEnd<'a>),
}

/// Makes one, and with it its peer.
fn create(net: &Netlink, link: &Link, peer: Option<Peer<'_>>) -> Result<()> {
    let no = |why: &str| Err(Error::because("make it", why));
    let data = match link.kind() {
        None => return no("its kind is unknown"),
        Some(LinkKind::Loopback) => return no("every namespace has one of its own"),
        Some(LinkKind::Tun) => return create_tun(link),
        Some(LinkKind::Veth) => {
            let peer = match peer {
                None => return no("its other end is not there"),
                Some(Peer::Here(peer)) => whole(peer),
                Some(Peer::Outer(end)) => end.message(),
            };
            Message::default().nested(PEER, &peer)
        }
        // A kernel tells also of what it cannot do: what differs is set later.
        Some(LinkKind::Plain("bridge")) => Message::default(),
        Some(LinkKind::Plain(_)) => Message { head: Vec::new(), attributes: data_of(link) },
    };
    let info = Message::default().text(KIND, &link.kind).nested(DATA, &data);
    let mut message = whole(link).nested(INFO, &info);
    if let (Some(lower), Some(LinkKind::Plain(_))) = (link.lower, link.kind()) {
        message = message.number(LINK, lower);
    }
    net.change(NEW_LINK, NLM_F_CREATE | NLM_F_EXCL, &message, "make it")
}

/// What is told of its kind as it can be set.
fn data_of(link: &Link) -> Vec<(u16, Vec<u8>)> {
    let mut data = link.data.clone();
    for (kind, value) in &mut data {
        // `struct ifla_vlan_flags`: which of them are set. The kernel tells of all, and takes those it knows; REORDER_HDR is one.
        if link.kind == b"vlan" && *kind == 2 && value.len() == 8 {
            let mask = value[0] | 1;
            value[4..].copy_from_slice(&[mask, 0, 0, 0]);
        }
    }
    data
}

fn create_tun(link: &Link) -> Result<()> {
    let byte = |kind: u16| {
        let found = link.data.iter().find(|(known, _)| *known == kind);
        found.and_then(|(_, value)| value.first().copied())
    };
    let id = |kind: u16| {
        let found = link.data.iter().find(|(known, _)| *known == kind);
        found.and_then(|(_, value)| value.first_chunk().copied()).map(u32::from_ne_bytes)
    };
    // IFLA_TUN_OWNER, GROUP, TYPE, PI, VNET_HDR and MULTI_QUEUE.
    make_tun(&NewTun {
        name: &link.name,
        index: link.index,
        kind: byte(3).unwrap_or(1),
        packet_information: byte(4) == Some(1),
        header: byte(5) == Some(1),
        many_queues: byte(7) == Some(1),
        owner: id(1),
        group: id(2),
    })
}

/// Sets all that differs.
fn configure(net: &Netlink, link: &Link) -> Result<()> {
    let gone = || Error::because("set it up", "it is gone");
    let now = by_index(net)?.remove(&link.index).ok_or_else(gone)?;
    let mut message = Message::new(head(link.index, 0, 0));
    if now.name != link.name {
        message = message.text(NAME, &link.name);
    }
    if now.alias != link.alias {
        message = message.text(ALIAS, &link.alias);
    }
    let numbers = [
        (MTU, now.mtu, link.mtu),
        (QUEUE_LENGTH, now.queue_length, link.queue_length),
        (GROUP, now.group, link.group),
    ];
    for (kind, _, wanted) in numbers.iter().filter(|(_, now, wanted)| now != wanted) {
        message = message.number(*kind, *wanted);
    }
    let bytes =
        [(ADDRESS, &now.address, &link.address), (BROADCAST, &now.broadcast, &link.broadcast)];
    for (kind, _, wanted) in bytes.into_iter().filter(|(_, now, wanted)| now != wanted) {
        message = message.with(kind, wanted.clone());
    }
    for setting in link.settings.iter().filter(|setting| !now.settings.contains(setting)) {
        message = message.with(setting.0, setting.1.clone());
    }
    if now.master != link.master {
        message = message.number(MASTER, link.master.unwrap_or(0));
    }
    let mode = Message::default().with(GENERATED, [NONE]);
    let families = Message::default().nested(libc::AF_INET6 as u16, &mode);
    let with_mode = message.clone().nested(FAMILIES, &families);
    // Without IPv6, or with an MTU too small for it, there is no mode. Of what has no address of the link layer the kernel knows
    // another way, and takes it when something is at the other end.
    let set = |message| net.change(SET_LINK, 0, message, "set it up");
    if link.address.is_empty() || set(&with_mode).is_err() {
        set(&message)?;
    }
    if link.kind() == Some(LinkKind::Plain("bridge")) {
        set_up_bridge(net, link, &now)?;
    }
    if !link.port.is_empty() {
        let mut data = Message { head: Vec::new(), attributes: link.port.clone() };
        data.remove(&[PORT_NUMBER]);
        let info = Message::default().text(PORT_KIND, b"bridge").nested(PORT_DATA, &data);
        let port = Message::new(head(link.index, 0, 0)).nested(INFO, &info);
        net.change(NEW_LINK, 0, &port, "set up the port of a bridge")?;
    }
    let new: Vec<&Vec<u8>> = link.names.iter().filter(|name| !now.names.contains(name)).collect();
    if !new.is_empty() {
        let all = Message::default();
        let all = new.iter().fold(all, |all, name| all.text(OTHER_NAME, name));
        let message = Message::new(head(link.index, 0, 0)).nested(NAMES, &all);
        net.change(NEW_NAMES, NLM_F_CREATE | NLM_F_EXCL, &message, "give it its other names")?;
    }
    // IPv6 looks for others with the same address, unless it is told not to.
    let path =
        format!("/proc/sys/net/ipv6/conf/{}/accept_dad", String::from_utf8_lossy(&link.name));
    let _ = std::fs::write(path, "0");
    Ok(())
}

/// IFLA_BR_MULTI_BOOLOPT: values, and which of them are meant.
const OPTIONS: u16 = 46;

fn set_up_bridge(net: &Netlink, link: &Link, now: &Link) -> Result<()> {
    let mut data = Message::default();
    for (kind, value) in link.data.iter().filter(|it| !now.data.contains(it)) {
        let was = now.data.iter().find(|(known, _)| known == kind);
        let word = |value: &[u8]| value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
        if *kind == OPTIONS && value.len() == 8 {
            let differs = word(value) ^ was.map_or(0, |(_, was)| word(was));
            data =
                data.with(OPTIONS, [value[..4].to_vec(), differs.to_ne_bytes().to_vec()].concat());
        } else {
            data = data.with(*kind, value.clone());
        }
    }
    if data.attributes.is_empty() {
        return Ok(());
    }
    let info = Message::default().text(KIND, &link.kind).nested(DATA, &data);
    let message = Message::new(head(link.index, 0, 0)).nested(INFO, &info);
    net.change(NEW_LINK, 0, &message, "set up the bridge")
}

fn set_flags(net: &Netlink, link: &Link) -> Result<()> {
    let message = Message::new(head(link.index, link.flags & SETTABLE, SETTABLE));
    net.change(SET_LINK, 0, &message, "set its flags")
}
