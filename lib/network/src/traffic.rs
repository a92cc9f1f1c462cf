//! What a network namespace may have besides, and is not read.

use crate::{Link, Message, Netlink};
use floe_sys::{Result, legacy_table};
use std::path::Path;

/// RTM_GETQDISC, bytes of `struct tcmsg`, and TCA_KIND.
const GET_QUEUES: u16 = 38;
const QUEUE_HEAD: usize = 20;
const QUEUE_KIND: u16 = 1;
/// XFRM_MSG_GETSA and XFRM_MSG_GETPOLICY.
const STATES: u16 = 18;
const POLICIES: u16 = 21;
/// NFNL_SUBSYS_IPSET, IPSET_CMD_LIST, IPSET_ATTR_PROTOCOL and SETNAME, IPSET_PROTOCOL_MIN.
const SETS: u16 = 6 << 8 | 7;
const PROTOCOL: u16 = 1;
const SET_NAME: u16 = 2;
const VERSION: u8 = 6;

/// Something of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Foreign {
    /// A queueing discipline that somebody has chosen: interface and kind.
    Queue(String, String),
    /// Filters or programs that look at all packets of an interface (`ingress`, `clsact`).
    Filter(String),
    /// Rules of a table of iptables(8), ip6tables(8) or arptables(8), by its name.
    Legacy(String),
    /// A set of ipset(8).
    Set(String),
    /// States and policies of IPsec.
    Ipsec,
    /// Connections that are tracked.
    Tracked(u64),
    /// Routes of multicasts.
    Multicast,
}

/// All of it.
///
/// # Errors
/// Those of netlink and of files of /proc.
pub fn foreign(net: &Netlink, links: &[Link]) -> Result<Vec<Foreign>> {
    let mut all = Vec::new();
    for (_, queue) in net.dump(GET_QUEUES, &Message::new([0; QUEUE_HEAD]), QUEUE_HEAD)? {
        let word = |at: usize| queue.head.get(at..at + 4).and_then(|four| four.first_chunk());
        let word = |at| word(at).map_or(0, |four| u32::from_ne_bytes(*four));
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        // What the kernel has chosen has no handle.
        if word(8) != 0 {
            let link = links.iter().find(|link| link.index == word(4));
            let link = link.map_or_else(String::new, |link| text(&link.name));
            match queue.get_text(QUEUE_KIND).unwrap_or_default() {
                b"ingress" | b"clsact" => all.push(Foreign::Filter(link)),
                kind => all.push(Foreign::Queue(link, text(kind))),
            }
        }
    }
    legacy(&mut all)?;
    sets(&mut all)?;
    let xfrm = Netlink::xfrm();
    for kind in [STATES, POLICIES] {
        // A kernel without IPsec has none.
        let some = xfrm.as_ref().ok().and_then(|xfrm| xfrm.dump(kind, &Message::default(), 0).ok());
        if some.is_some_and(|some| !some.is_empty()) && !all.contains(&Foreign::Ipsec) {
            all.push(Foreign::Ipsec);
        }
    }
    let tracked = read("/proc/sys/net/netfilter/nf_conntrack_count");
    let tracked = tracked.trim_ascii_end().parse().unwrap_or(0);
    if tracked > 0 {
        all.push(Foreign::Tracked(tracked));
    }
    let routed = ["ip_mr_vif", "ip6_mr_vif"];
    if routed.iter().any(|name| read(&format!("/proc/thread-self/net/{name}")).lines().count() > 1)
    {
        all.push(Foreign::Multicast);
    }
    Ok(all)
}

/// A file that is there only where the kernel has what it tells of.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Tables of iptables(8) that are not as they are made.
fn legacy(all: &mut Vec<Foreign>) -> Result<()> {
    let families =
        [("ip_tables", libc::SOL_IP), ("ip6_tables", libc::SOL_IPV6), ("arp_tables", libc::SOL_IP)];
    for (family, level) in families {
        let names = read(&format!("/proc/thread-self/net/{family}_names"));
        for name in names.lines() {
            if family == "arp_tables" || legacy_table(level, name)? {
                all.push(Foreign::Legacy(format!("{name} of {family}")));
            }
        }
    }
    Ok(())
}

fn sets(all: &mut Vec<Foreign>) -> Result<()> {
    // To ask would load it.
    if !Path::new("/sys/module/ip_set").exists() {
        return Ok(());
    }
    let ask = Message::new([0; 4]).with(PROTOCOL, [VERSION]);
    for (_, set) in Netlink::netfilter()?.dump(SETS, &ask, 4)? {
        let name = String::from_utf8_lossy(set.get_text(SET_NAME).unwrap_or_default()).into_owned();
        if !all.contains(&Foreign::Set(name.clone())) {
            all.push(Foreign::Set(name));
        }
    }
    Ok(())
}
