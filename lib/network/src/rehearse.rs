//! Whether what is there can be made again, tried in a network namespace that goes at once.

use crate::{Link, Netlink, OuterEnd, TableMessage, make_links, replay_tables};
use floe_sys::{Error, Result};
use nix::sched::{CloneFlags, unshare};

/// Makes interfaces and tables elsewhere.
///
/// # Errors
/// Why they cannot be had.
pub fn rehearse(links: &[Link], tables: &[TableMessage]) -> Result<()> {
    const DOING: &str = "try it in another network namespace";
    floe_sys::apart(DOING, || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::new(DOING, e))?;
        let outer = links.iter().filter(|link| link.elsewhere).map(|link| {
            let name = format!("floe-{}", link.index).into_bytes();
            // Far from those that are chosen by the kernel.
            let index = link.index | 1 << 30;
            (link.name.clone(), OuterEnd { name, bridge: None, index, space: None })
        });
        make_links(&Netlink::route()?, links, &outer.collect())?;
        if tables.is_empty() {
            return Ok(());
        }
        replay_tables(&Netlink::netfilter()?, tables)
    })
}
