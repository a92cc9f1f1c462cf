//! Segments and datagrams that restore sends to itself, kept away from NAT: their addresses are those of peers, which rules would
//! change, and behind the first of them nothing was seen of a connection, so that a filter may take them for strays.

use floe_netlock::{Held, Network, new_id};
use floe_sys::{Error, Result};
use nix::sys::stat::stat;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
};

/// Tables of ours in network namespaces, by their inodes; `None` where one cannot be made.
#[derive(Default)]
pub(crate) struct OwnTraffic(Mutex<BTreeMap<u64, Option<Held>>>);

impl OwnTraffic {
    /// Sees to it in the network namespace of this thread. Whether rules of NAT may still have a say.
    pub fn untrack(&self) -> Result<bool> {
        let fail = |e| Error::new("find the network namespace", e);
        let space = stat("/proc/thread-self/ns/net").map_err(fail)?.st_ino;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = match all.entry(space) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Network::here().and_then(|it| it.untrack(new_id()?)).ok())
            }
        };
        Ok(held.is_none() && has_nat())
    }
}

/// Whether iptables(8) has a table for NAT, which a kernel without nf_tables may have.
fn has_nat() -> bool {
    let has = |names| {
        let all = std::fs::read_to_string(format!("/proc/thread-self/net/{names}"));
        all.is_ok_and(|all| all.lines().any(|name| name == "nat"))
    };
    has("ip_tables_names") || has("ip6_tables_names")
}
