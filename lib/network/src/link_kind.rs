//! Kinds of interfaces that can be made again.

/// What the kernel calls a kind (IFLA_INFO_KIND), and how it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkKind {
    /// `lo`, which every namespace has.
    Loopback,
    /// One end of a pair.
    Veth,
    /// Made by /dev/net/tun.
    Tun,
    /// Made of its attributes alone.
    Plain(&'static str),
}

/// Those that are made of their attributes.
const PLAIN: [&str; 6] = ["bridge", "dummy", "ifb", "ipvlan", "macvlan", "vlan"];
/// Those that a network namespace may have from its start, where the kernel has their module. They carry nothing while they are
/// down.
const FALLBACK: [&str; 10] = [
    "erspan0",
    "gre0",
    "gretap0",
    "ip6_vti0",
    "ip6gre0",
    "ip6tnl0",
    "ip_vti0",
    "sit0",
    "tunl0",
    "ip6erspan0",
];

impl LinkKind {
    /// By the name of the kernel; `None` for one that cannot be made again.
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"" => Some(Self::Loopback),
            b"veth" => Some(Self::Veth),
            b"tun" => Some(Self::Tun),
            _ => PLAIN.into_iter().find(|known| known.as_bytes() == name).map(Self::Plain),
        }
    }

    /// Whether an attribute of IFLA_INFO_DATA is told and cannot be set.
    pub(crate) fn tells(name: &[u8], attribute: u16) -> bool {
        match name {
            // IFLA_BR_ROOT_ID to GC_TIMER, FDB_FLUSH, PAD, MCAST_QUERIER_STATE and FDB_N_LEARNED.
            b"bridge" => matches!(attribute, 10..=19 | 21 | 40 | 47 | 48),
            // IFLA_MACVLAN_MACADDR_COUNT and BC_QUEUE_LEN_USED.
            b"macvlan" => matches!(attribute, 6 | 8),
            // It is that of the pair.
            b"veth" => true,
            // IFLA_TUN_NUM_QUEUES and NUM_DISABLED_QUEUES.
            b"tun" => matches!(attribute, 8 | 9),
            _ => false,
        }
    }
}

/// IFLA_BRPORT_NO: ports are numbered in the order in which they come.
pub(crate) const PORT_NUMBER: u16 = 18;

/// Whether an attribute of IFLA_INFO_SLAVE_DATA of a bridge is told and cannot be set: IFLA_BRPORT_STATE, LEARNING_SYNC, ROOT_ID
/// to FLUSH but for the number, PAD, MRP_RING_OPEN, MRP_IN_OPEN, MCAST_EHT_HOSTS_CNT and MCAST_N_GROUPS.
pub(crate) fn port_tells(attribute: u16) -> bool {
    matches!(attribute, 1 | 11 | 13..=17 | 19..=24 | 26 | 35 | 36 | 38 | 41)
}

/// Whether it is one of those that are there from the start.
pub(crate) fn is_fallback(name: &[u8]) -> bool {
    FALLBACK.iter().any(|known| known.as_bytes() == name)
}
