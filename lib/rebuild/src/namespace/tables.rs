//! Tables of nf_tables in network namespaces that restore has made.

use crate::{network::message, resource::ForNamespace, spaces::Spaces};
use floe_network::{Netlink, TableMessage, replay_tables};
use floe_records::NfTables;
use floe_sys::Result;

impl ForNamespace for NfTables {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        if self.all.is_empty() {
            return Ok(());
        }
        spaces.furnish(self.id, || {
            let all = self
                .all
                .iter()
                .map(|(make, it)| TableMessage { make: *make, message: message(it) });
            replay_tables(&Netlink::netfilter()?, &all.collect::<Vec<_>>())
        })
    }
}
