//! Interfaces.

use crate::{
    Message, Netlink,
    link_kind::{LinkKind, is_fallback, port_tells},
    message::{kind_of, text},
};
use floe_sys::Result;

pub(crate) const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
/// Bytes of `struct ifinfomsg`.
pub(crate) const HEAD: usize = 16;
/// IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS.
const EXT_MASK: u16 = 29;
const SKIP_STATS: u32 = 8;

/// IFF_UP and so on.
pub(crate) const UP: u32 = 1;
const LOOPBACK: u32 = 8;
pub(crate) const RUNNING: u32 = 0x40;
/// Those that can be set: UP, DEBUG, NOTRAILERS, NOARP, PROMISC, ALLMULTI, MULTICAST, PORTSEL, AUTOMEDIA and DYNAMIC.
pub(crate) const SETTABLE: u32 = 0xf3a5;

/// Numbers of attributes: IFLA_….
pub(crate) mod attribute {
    pub const ADDRESS: u16 = 1;
    pub const BROADCAST: u16 = 2;
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const LINK: u16 = 5;
    pub const MASTER: u16 = 10;
    pub const QUEUE_LENGTH: u16 = 13;
    pub const STATE: u16 = 16;
    pub const INFO: u16 = 18;
    pub const ALIAS: u16 = 20;
    pub const FAMILIES: u16 = 26;
    pub const GROUP: u16 = 27;
    pub const SENDERS: u16 = 31;
    pub const RECEIVERS: u16 = 32;
    pub const CARRIER: u16 = 33;
    pub const ELSEWHERE: u16 = 37;
    pub const XDP: u16 = 43;
    pub const NAMES: u16 = 52;
    pub const OTHER_NAME: u16 = 53;
    /// In INFO.
    pub const KIND: u16 = 1;
    pub const DATA: u16 = 2;
    pub const PORT_KIND: u16 = 4;
    pub const PORT_DATA: u16 = 5;
    /// Settings of any interface: LINKMODE, PROTO_DOWN, GSO_MAX_SEGS, GSO_MAX_SIZE, GRO_MAX_SIZE, GSO_IPV4_MAX_SIZE and
    /// GRO_IPV4_MAX_SIZE.
    pub const SETTINGS: [u16; 7] = [17, 39, 40, 41, 58, 63, 64];
}
use attribute::*;

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Other names.
    pub names: Vec<Vec<u8>>,
    /// What the kernel calls its kind; nothing for the loopback interface, and for devices.
    pub kind: Vec<u8>,
    /// IFF_….
    pub flags: u32,
    /// The interface that it is a port of.
    pub master: Option<u32>,
    /// The one that it is made on, or the other end of a pair.
    pub lower: Option<u32>,
    /// That is in another namespace.
    pub elsewhere: bool,
    /// Of the link layer.
    pub address: Vec<u8>,
    /// Of the link layer.
    pub broadcast: Vec<u8>,
    /// Most bytes of a packet.
    pub mtu: u32,
    /// Of packets to be sent.
    pub queue_length: u32,
    /// The group that it is in.
    pub group: u32,
    /// Text for people.
    pub alias: Vec<u8>,
    /// Queues to send and to receive.
    pub queues: [u32; 2],
    /// Other settings, by IFLA_….
    pub settings: Vec<(u16, Vec<u8>)>,
    /// What its kind has (IFLA_INFO_DATA).
    pub data: Vec<(u16, Vec<u8>)>,
    /// What the kind of its master has of it (IFLA_INFO_SLAVE_DATA).
    pub port: Vec<(u16, Vec<u8>)>,
    /// Something is at its other end.
    pub carrier: bool,
    /// How it works (IF_OPER_…), which the kernel finds out behind the rest.
    pub state: u8,
    /// A program of XDP runs on it.
    pub has_program: bool,
}

impl Link {
    fn of(message: &Message) -> Self {
        let number = |at: usize| message.head.get(at..at + 4).and_then(|four| four.first_chunk());
        let number = |at| number(at).map_or(0, |four| u32::from_ne_bytes(*four));
        let bytes = |kind| message.get(kind).unwrap_or_default().to_vec();
        let (info, names) = (message.get_nested(INFO), message.get_nested(NAMES));
        let kind = info.get_text(KIND).unwrap_or_default().to_vec();
        let names = names.attributes.iter().filter(|(kind, _)| kind_of(*kind) == OTHER_NAME);
        let mut settings = message.clone();
        settings.keep(&SETTINGS);
        let (data, port) = (info.get_nested(DATA), info.get_nested(PORT_DATA));
        let data = data.attributes.into_iter().filter(|it| !LinkKind::tells(&kind, kind_of(it.0)));
        let is_port = info.get_text(PORT_KIND) == Some(b"bridge");
        let port = port.attributes.into_iter().filter(|it| is_port && !port_tells(kind_of(it.0)));
        Self {
            index: number(4),
            flags: number(8),
            name: message.get_text(NAME).unwrap_or_default().to_vec(),
            names: names.map(|(_, name)| text(name).to_vec()).collect(),
            master: message.get_number(MASTER),
            lower: message.get_number(LINK).filter(|lower| *lower != 0 && *lower != number(4)),
            elsewhere: message.get(ELSEWHERE).is_some(),
            address: bytes(ADDRESS),
            broadcast: bytes(BROADCAST),
            mtu: message.get_number(MTU).unwrap_or_default(),
            queue_length: message.get_number(QUEUE_LENGTH).unwrap_or_default(),
            group: message.get_number(GROUP).unwrap_or_default(),
            alias: message.get_text(ALIAS).unwrap_or_default().to_vec(),
            queues: [SENDERS, RECEIVERS].map(|kind| message.get_number(kind).unwrap_or(1)),
            settings: settings.attributes,
            data: data.collect(),
            port: port.collect(),
            state: message.get(STATE).and_then(|state| state.first().copied()).unwrap_or_default(),
            carrier: message.get(CARRIER).is_some_and(|carrier| carrier == [1]),
            // IFLA_XDP_ATTACHED.
            has_program: message.get_nested(XDP).get(2).is_some_and(|attached| attached != [0]),
            kind,
        }
    }

    /// The loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.flags & LOOPBACK != 0
    }

    /// One that its namespace had from its start, and that nobody uses.
    fn is_fallback(&self) -> bool {
        self.flags & UP == 0 && is_fallback(&self.name)
    }

    /// How it is made; `None` for what cannot be made again.
    pub fn kind(&self) -> Option<LinkKind> {
        LinkKind::of(&self.kind).filter(|kind| *kind != LinkKind::Loopback || self.is_loopback())
    }
}

/// All interfaces, but for those that every namespace has and nobody uses.
///
/// # Errors
/// Those of netlink.
pub fn links(net: &Netlink) -> Result<Vec<Link>> {
    let ask = Message::new([0; HEAD]).number(EXT_MASK, SKIP_STATS);
    let all = net.dump(GET_LINK, &ask, HEAD)?;
    let all = all.into_iter().filter(|(kind, _)| *kind == NEW_LINK);
    Ok(all.map(|(_, message)| Link::of(&message)).filter(|link| !link.is_fallback()).collect())
}
