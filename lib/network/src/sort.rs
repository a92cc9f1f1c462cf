//! What rtnetlink(7) shows and takes in the same form.

use crate::{Message, Netlink};
use floe_sys::Result;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

/// Something of which a network namespace has many.
#[derive(Debug)]
pub struct Sort {
    /// How people call one.
    pub name: &'static str,
    /// Numbers of the messages that make, remove and show one.
    make: u16,
    remove: u16,
    show: u16,
    /// Bytes of the structure in front.
    pub head: usize,
    /// Address families that are asked for.
    families: &'static [u8],
    /// Leaves what can be set, `None` where it is not to be kept.
    plain: fn(Message) -> Option<Message>,
    /// By what one is known again.
    key: fn(&Message) -> Message,
}

/// Addresses of interfaces (`struct ifaddrmsg`).
pub const ADDRESSES: Sort = Sort {
    name: "address",
    make: 20,
    remove: 21,
    show: 22,
    head: 8,
    families: &[INET, INET6],
    plain: plain_address,
    key: address_key,
};

/// Next hops that have a number (`struct nhmsg`).
pub const NEXT_HOPS: Sort = Sort {
    name: "next hop",
    make: 104,
    remove: 105,
    show: 106,
    head: 8,
    families: &[0],
    plain: |mut hop| {
        // Of RTNH_F_… only ONLINK can be set. NHA_… below 9: what it is; 12: a group that withstands changes.
        let flags = word(&hop.head, 4) & 4;
        set_word(&mut hop.head, 4, flags);
        // Its scope follows from where it is.
        hop.head[1] = 0;
        hop.keep(&[1, 2, 3, 4, 5, 6, 7, 8, 11, 12]);
        Some(hop)
    },
    key: Clone::clone,
};

/// Routes (`struct rtmsg`).
pub const ROUTES: Sort = Sort {
    name: "route",
    make: 24,
    remove: 25,
    show: 26,
    head: 12,
    families: &[INET, INET6],
    plain: plain_route,
    key: |route| {
        let mut key = route.clone();
        // What a kernel adds to those that it makes is no other route: RTA_DST to MULTIPATH, TABLE, VIA, PREF, ENCAP and NH_ID.
        key.keep(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 18, 20, 22, 30]);
        key
    },
};

/// Rules of ip-rule(8) (`struct fib_rule_hdr`).
pub const RULES: Sort = Sort {
    name: "rule",
    make: 32,
    remove: 33,
    show: 34,
    head: 12,
    families: &[INET, INET6],
    plain: |mut rule| {
        // FIB_RULE_INVERT and FIB_RULE_FIND_SADDR; the others tell how it is. FRA_PAD.
        let flags = word(&rule.head, 8) & (2 | 0x10000);
        set_word(&mut rule.head, 8, flags);
        rule.remove(&[18]);
        Some(rule)
    },
    key: Clone::clone,
};

/// Neighbours (`struct ndmsg`): of the link layer, those that are answered for, and those that a bridge was told behind which port
/// they are.
pub const NEIGHBOURS: Sort = Sort {
    name: "neighbour",
    make: 28,
    remove: 29,
    show: 30,
    head: 12,
    families: &[INET, INET6, BRIDGE],
    plain: plain_neighbour,
    key: |it| {
        let mut key = it.clone();
        // The state.
        key.head[8..10].fill(0);
        // NDA_DST; of a bridge NDA_LLADDR and VLAN.
        key.keep(if key.head[0] == BRIDGE { &[2, 5] } else { &[1] });
        key
    },
};

const INET: u8 = libc::AF_INET as u8;
const INET6: u8 = libc::AF_INET6 as u8;
const BRIDGE: u8 = libc::AF_BRIDGE as u8;

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.first_chunk().copied());
    word.map_or(0, u32::from_ne_bytes)
}

fn set_word(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// IFA_F_TENTATIVE and IFA_F_DADFAILED, whether it has been tried, and IFA_F_STABLE_PRIVACY, how the kernel has found it.
const TRIED: u32 = 0x848;
/// IFA_FLAGS.
const ADDRESS_FLAGS: u16 = 8;

fn plain_address(mut address: Message) -> Option<Message> {
    let flags = address.get_number(ADDRESS_FLAGS).unwrap_or(address.head[2].into()) & !TRIED;
    // IFA_ADDRESS, LOCAL, LABEL, BROADCAST, CACHEINFO, RT_PRIORITY and PROTO.
    address.keep(&[1, 2, 3, 4, 6, 9, 11]);
    address.head[2] = flags as u8;
    // `struct ifa_cacheinfo`: when it was made and changed, behind how long it lasts.
    for (_, info) in address.attributes.iter_mut().filter(|it| it.0 == 6 && it.1.len() == 16) {
        info[8..].fill(0);
    }
    Some(address.number(ADDRESS_FLAGS, flags))
}

/// The interface, and the addresses of both ends.
fn address_key(address: &Message) -> Message {
    let mut key = address.clone();
    key.head[2] = 0;
    key.keep(&[1, 2, 3]);
    key.attributes.sort_unstable();
    key
}

/// RTM_F_CLONED: one that the kernel has found by another.
const CLONED: u32 = 0x200;
/// RTNH_F_PERVASIVE and RTNH_F_ONLINK.
const NEXT_HOP_FLAGS: u32 = 6;
/// RTA_NH_ID.
const NEXT_HOP_ID: u16 = 30;

fn plain_route(mut route: Message) -> Option<Message> {
    let flags = word(&route.head, 8);
    if flags & CLONED != 0 {
        return None;
    }
    set_word(&mut route.head, 8, flags & NEXT_HOP_FLAGS);
    // RTA_CACHEINFO, MFC_STATS, EXPIRES: what was counted.
    route.remove(&[12, 17, 23]);
    if route.get(NEXT_HOP_ID).is_some() {
        // RTA_OIF, GATEWAY, MULTIPATH, VIA, ENCAP_TYPE and ENCAP are those of the hop.
        route.remove(&[4, 5, 9, 18, 21, 22]);
    }
    Some(route)
}

/// NUD_INCOMPLETE, NUD_FAILED and NUD_NOARP, which the kernel makes by itself.
const NOT_KNOWN: u16 = 0x61;
/// NUD_DELAY and NUD_PROBE: on the way from stale; NUD_STALE.
const PROBED: u16 = 0x18;
const STALE: u16 = 4;

fn plain_neighbour(mut it: Message) -> Option<Message> {
    // NTF_PROXY: it has no state.
    let proxy = it.head[10] & 8 != 0;
    let state = u16::from_ne_bytes([it.head[8], it.head[9]]);
    if it.head[0] == BRIDGE {
        // NUD_NOARP: somebody has said so. NTF_SELF: the interface itself takes it.
        it.keep(&[2, 5]);
        return (state & 0x40 != 0 && it.head[10] & 2 == 0).then_some(it);
    }
    if !proxy && (state & NOT_KNOWN != 0 || state == 0) {
        return None;
    }
    let state = if state & PROBED != 0 { STALE } else { state };
    it.head[8..10].copy_from_slice(&state.to_ne_bytes());
    // NDA_DST, LLADDR, PROTOCOL and FLAGS_EXT.
    it.keep(&[1, 2, 12, 15]);
    Some(it)
}

impl Sort {
    /// All sorts, those that others need first.
    pub const ALL: [&'static Sort; 5] = [&ADDRESSES, &NEXT_HOPS, &ROUTES, &RULES, &NEIGHBOURS];

    /// All there are.
    ///
    /// # Errors
    /// Those of netlink.
    pub fn all(&self, net: &Netlink) -> Result<Vec<Message>> {
        let mut all = Vec::new();
        for family in self.families {
            let mut head = vec![0; self.head];
            head[0] = *family;
            let mut asks = vec![Message::new(head.clone())];
            if self.show == NEIGHBOURS.show {
                // NTF_PROXY.
                head[10] = 8;
                asks.push(Message::new(head));
            }
            for ask in asks {
                let some = match net.dump(self.show, &ask, self.head) {
                    // Without IPv6, or next hops (before Linux 5.3).
                    Err(e) if matches!(e.errno(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {
                        continue;
                    }
                    other => other?,
                };
                let whole = some.into_iter().map(|(_, message)| message);
                let whole = whole.filter(|it| it.head.len() == self.head);
                all.extend(
                    whole.filter(|it| *family == 0 || it.head[0] == *family).filter_map(self.plain),
                );
            }
        }
        Ok(all)
    }

    /// Makes what is there what is wanted: removes others, and adds those that are missing, in any order in which the kernel
    /// takes them.
    ///
    /// # Errors
    /// Why one of them cannot be had.
    pub fn settle(&self, net: &Netlink, wanted: &[Message]) -> Result<()> {
        let keys: Vec<Message> = wanted.iter().map(self.key).collect();
        let there = self.all(net)?;
        for other in there.iter().filter(|it| !keys.contains(&(self.key)(it)) && !self.is_bound(it))
        {
            let doing = format!("remove a {} that the tree had not", self.name);
            match net.change(self.remove, 0, other, &doing) {
                // It has gone with another.
                Err(e)
                    if matches!(
                        e.errno(),
                        Some(libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENOENT)
                    ) => {}
                done => done?,
            }
        }
        let there: Vec<Message> = self.all(net)?.iter().map(self.key).collect();
        let mut left: Vec<&Message> = wanted
            .iter()
            .zip(keys)
            .filter(|(_, key)| !there.contains(key))
            .map(|(it, _)| it)
            .collect();
        loop {
            let (before, mut failed) = (left.len(), None);
            left.retain(|message| match self.add(net, message) {
                Ok(()) => false,
                Err(error) => {
                    failed = Some(error);
                    true
                }
            });
            match failed {
                // One may need another that stood behind it.
                Some(error) if left.len() == before => return Err(error),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Whether it goes with an address: a route that the kernel has made (RTPROT_KERNEL) to an address of ours, broadcasts and the
    /// like. An address that was just being tried had none yet.
    fn is_bound(&self, message: &Message) -> bool {
        // RTN_UNICAST leads to others.
        self.make == ROUTES.make && message.head[5] == 2 && message.head[7] != 1
    }

    fn add(&self, net: &Netlink, message: &Message) -> Result<()> {
        let doing = format!("add {} {}", self.name, self.describe(message));
        // Next hops take no NLM_F_APPEND.
        let append = if self.make == ROUTES.make { NLM_F_APPEND } else { NLM_F_EXCL };
        match net.change(self.make, NLM_F_CREATE | append, message, &doing) {
            // The kernel has made it meanwhile, of another.
            Err(e) if e.errno() == Some(libc::EEXIST) => Ok(()),
            done => done,
        }
    }

    /// Its address, where it has one.
    fn describe(&self, message: &Message) -> String {
        let value = message.get(1).or(message.get(2)).unwrap_or_default();
        match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
            (Ok(v4), _) => std::net::Ipv4Addr::from(v4).to_string(),
            (_, Ok(v6)) => std::net::Ipv6Addr::from(v6).to_string(),
            _ => "without an address".to_owned(),
        }
    }
}
