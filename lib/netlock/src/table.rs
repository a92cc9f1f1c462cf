//! The table: two sets with the connections, and two chains that drop what is in them.
//!
//! ```text
//! table inet floe-0123456789abcdef {
//!     set connections4 { type ipv4_addr . inet_service . ipv4_addr . inet_service }
//!     set connections6 { type ipv6_addr . inet_service . ipv6_addr . inet_service }
//!     chain in {
//!         type filter hook input priority 200
//!         ip saddr . tcp sport . ip daddr . tcp dport @connections4 meta mark != MARK drop
//!         ip6 saddr . tcp sport . ip6 daddr . tcp dport @connections6 meta mark != MARK drop
//!     }
//!     chain out { type filter hook output priority -250; … the same … }
//! }
//! ```
//!
//! Both hooks stand where addresses are those of the sockets: that of what comes in behind the last translation of addresses
//! (100), that of what goes out before connection tracking (-200), which then never sees what was not sent.

use crate::{
    Connection,
    message::{Attributes, Batch},
};
use std::{collections::BTreeSet, io::Read, net::IpAddr};

/// The mark (SO_MARK of socket(7)) of segments that pass all the same: those that restore itself makes. It has bits only that mean
/// nothing to those who share the marks of a machine: not 0x1 (OpenShift), 0x80 (Amazon's CNI), 0x0f00 (Cilium), 0x2000 (port mappings
/// of CNI, by which they masquerade), 0x4000 and 0x8000 (kube-proxy, which drops by the latter), nor one of the upper half (Calico, Weave, Tailscale).
pub const MARK: u32 = 0x1056;

/// An id that no other table has.
///
/// # Errors
/// Where /dev/urandom cannot be read.
pub fn new_id() -> floe_sys::Result<u64> {
    let mut id = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut id));
    read.map_err(|e| floe_sys::Error::new("read /dev/urandom", e))?;
    Ok(u64::from_ne_bytes(id))
}

/// The name of a table that is left behind.
pub fn left_name(id: u64) -> String {
    format!("floe-{id:016x}")
}

/// Whether a table is one of ours, by its name.
pub fn is_ours(name: &[u8]) -> bool {
    let id = name.strip_prefix(b"floe-").map(|id| id.strip_suffix(b"-held").unwrap_or(id));
    id.is_some_and(|id| id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit))
}

/// The name of a table that is held.
pub(crate) fn held_name(id: u64) -> String {
    format!("floe-{id:016x}-held")
}

/// NFT_TABLE_F_OWNER: the table ends with the socket that makes it (Linux 5.12).
const OWNER: u32 = 2;
/// NFPROTO_INET: IPv4 and IPv6.
const INET: u8 = 1;
/// Numbers of messages: NFT_MSG_NEWTABLE and so on.
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
/// Elements to a message: an attribute has less than 64 KiB.
const TOGETHER: usize = 512;

/// First of the registers of 32 bits (NFT_REG32_00); NFT_REG_VERDICT.
const REGISTER: u32 = 8;
const VERDICT: u32 = 0;

/// A family, and how its packets look.
struct Family {
    set: &'static str,
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    number: u8,
    /// Where the two addresses stand in the header, and bytes of one.
    addresses: [u32; 2],
    len: u32,
    /// The type of the key, for nft(8): four types of six bits each, of address, port, address, port.
    kind: u32,
}

const FAMILIES: [Family; 2] = [
    Family { set: "connections4", number: 2, addresses: [12, 16], len: 4, kind: key_type(7) },
    Family { set: "connections6", number: 10, addresses: [8, 24], len: 16, kind: key_type(8) },
];

/// `address` is the number of its type to nft(8); that of a port is 13.
const fn key_type(address: u32) -> u32 {
    address << 18 | 13 << 12 | address << 6 | 13
}

/// Makes a table that drops all of these connections.
pub(crate) fn make(name: &str, held: bool, connections: &BTreeSet<Connection>) -> (Vec<u8>, u32) {
    let mut batch = Batch::new();
    let flags = if held { OWNER } else { 0 };
    batch.message(NEW_TABLE, INET, &Attributes::default().text(1, name).number(2, flags));
    for (id, family) in (1..).zip(&FAMILIES) {
        // NFTA_SET_TABLE, NAME, FLAGS, KEY_TYPE, KEY_LEN, ID.
        let set = Attributes::default().text(1, name).text(2, family.set).number(3, 0);
        let set = set.number(4, family.kind).number(5, 2 * family.len + 8).number(10, id);
        batch.message(NEW_SET, INET, &set);
        elements(name, family, id, connections, &mut batch);
    }
    // NF_INET_LOCAL_IN and NF_INET_LOCAL_OUT.
    for (chain, hook, priority) in [("in", 1, 200), ("out", 3, -250)] {
        // NFTA_HOOK_HOOKNUM, PRIORITY; NFTA_CHAIN_TABLE, NAME, HOOK, TYPE.
        let hook = Attributes::default().number(1, hook).number(2, i32::cast_unsigned(priority));
        let text = Attributes::default().text(1, name).text(3, chain);
        batch.message(NEW_CHAIN, INET, &text.nested(4, &hook).text(7, "filter"));
        for (id, family) in (1..).zip(&FAMILIES) {
            // NFTA_RULE_TABLE, CHAIN, EXPRESSIONS.
            let rule = Attributes::default().text(1, name).text(2, chain);
            batch.message(NEW_RULE, INET, &rule.nested(4, &rule_of(family, id)));
        }
    }
    batch.finish()
}

/// Makes a table by which what has our mark is not tracked (`type filter hook output priority -310; meta mark MARK notrack`): no rule of
/// NAT sees it, and none finds it out of place. It stands before all others that say how to track (-300), the first of which counts.
pub(crate) fn untrack(name: &str) -> (Vec<u8>, u32) {
    let mut batch = Batch::new();
    batch.message(NEW_TABLE, INET, &Attributes::default().text(1, name).number(2, OWNER));
    let hook = Attributes::default().number(1, 3).number(2, i32::cast_unsigned(-310));
    let text = Attributes::default().text(1, name).text(3, "own");
    batch.message(NEW_CHAIN, INET, &text.nested(4, &hook).text(7, "filter"));
    let marked = compare(meta(Attributes::default(), 3), 0, &MARK.to_ne_bytes());
    let all = expression(marked, "notrack", &Attributes::default());
    let rule = Attributes::default().text(1, name).text(2, "own");
    batch.message(NEW_RULE, INET, &rule.nested(4, &all));
    batch.finish()
}

/// Removes tables, all of them or none.
pub(crate) fn delete(names: &[String]) -> (Vec<u8>, u32) {
    let mut batch = Batch::new();
    for name in names {
        batch.message(DELETE_TABLE, INET, &Attributes::default().text(1, name));
    }
    batch.finish()
}

/// Puts the connections of a family into its set, as they look from both ends.
fn elements(
    table: &str,
    family: &Family,
    id: u32,
    connections: &BTreeSet<Connection>,
    batch: &mut Batch,
) {
    let of_family = |it: &&Connection| it.local.0.is_ipv4() == (family.len == 4);
    let both = connections.iter().filter(of_family).flat_map(|it| [*it, it.reversed()]);
    let keys: BTreeSet<Vec<u8>> = both.map(key).collect();
    let keys: Vec<Vec<u8>> = keys.into_iter().collect();
    for some in keys.chunks(TOGETHER) {
        let mut list = Attributes::default();
        for key in some {
            // NFTA_DATA_VALUE in NFTA_SET_ELEM_KEY in NFTA_LIST_ELEM.
            let value = Attributes::default().bytes(1, key);
            list = list.nested(1, &Attributes::default().nested(1, &value));
        }
        // NFTA_SET_ELEM_LIST_TABLE, SET, ELEMENTS, SET_ID.
        let named = Attributes::default().text(1, table).text(2, family.set);
        batch.message(NEW_ELEMENTS, INET, &named.nested(3, &list).number(4, id));
    }
}

/// A packet that this end sends, as the registers hold it: each port in four bytes.
fn key(connection: Connection) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    for (ip, port) in [connection.local, connection.peer] {
        match ip {
            IpAddr::V4(ip) => key.extend(ip.octets()),
            IpAddr::V6(ip) => key.extend(ip.octets()),
        }
        key.extend(port.to_be_bytes());
        key.extend([0; 2]);
    }
    key
}

/// The expressions of a rule.
fn rule_of(family: &Family, set: u32) -> Attributes {
    // NFT_META_NFPROTO, NFT_META_L4PROTO and NFT_META_MARK, which is in the byte order of the machine; NFT_CMP_EQ and NEQ.
    let mut all = Attributes::default();
    all = compare(meta(all, 15), 0, &[family.number]);
    all = compare(meta(all, 16), 0, &[libc::IPPROTO_TCP as u8]);
    let words = family.len / 4;
    for (end, address) in (0..).zip(family.addresses) {
        let register = REGISTER + end * (words + 1);
        // NFT_PAYLOAD_NETWORK_HEADER and NFT_PAYLOAD_TRANSPORT_HEADER.
        all = payload(all, register, 1, address, family.len);
        all = payload(all, register + words, 2, 2 * end, 2);
    }
    // NFTA_LOOKUP_SET, SREG, SET_ID.
    let lookup = Attributes::default().text(1, family.set).number(2, REGISTER).number(4, set);
    all = expression(all, "lookup", &lookup);
    all = compare(meta(all, 3), 1, &MARK.to_ne_bytes());
    // NFTA_VERDICT_CODE in NFTA_DATA_VERDICT; NF_DROP. NFTA_IMMEDIATE_DREG, DATA.
    let verdict = Attributes::default().number(1, 0);
    let data = Attributes::default().nested(2, &verdict);
    let drop = Attributes::default().number(1, VERDICT).nested(2, &data);
    expression(all, "immediate", &drop)
}

/// NFTA_EXPR_NAME and NFTA_EXPR_DATA in NFTA_LIST_ELEM.
fn expression(all: Attributes, name: &str, data: &Attributes) -> Attributes {
    all.nested(1, &Attributes::default().text(1, name).nested(2, data))
}

/// NFTA_META_DREG, KEY.
fn meta(all: Attributes, key: u32) -> Attributes {
    expression(all, "meta", &Attributes::default().number(1, REGISTER).number(2, key))
}

/// NFTA_CMP_SREG, OP, DATA.
fn compare(all: Attributes, op: u32, value: &[u8]) -> Attributes {
    let data = Attributes::default().bytes(1, value);
    let cmp = Attributes::default().number(1, REGISTER).number(2, op).nested(3, &data);
    expression(all, "cmp", &cmp)
}

/// NFTA_PAYLOAD_DREG, BASE, OFFSET, LEN.
fn payload(all: Attributes, register: u32, base: u32, offset: u32, len: u32) -> Attributes {
    let data = Attributes::default().number(1, register).number(2, base);
    expression(all, "payload", &data.number(3, offset).number(4, len))
}
