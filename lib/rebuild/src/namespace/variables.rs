//! Variables of network namespaces that restore has made: those that differ are written.
//!
//! They are written behind the addresses, since they say what the kernel makes of those. One that it makes because of them (of
//! addr_gen_mode) the tree had not.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_network::{ADDRESSES, Netlink, write_variables};
use floe_records::NetVariables;
use floe_sys::Result;

impl ForNamespace for NetVariables {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        let mut left = Vec::new();
        spaces.furnish(self.id, || {
            let net = Netlink::route()?;
            let before = ADDRESSES.all(&net)?;
            let all = self.all.iter().map(|(name, value)| (name.0.as_slice(), value.0.as_slice()));
            left = write_variables(&all.collect::<Vec<_>>());
            ADDRESSES.settle(&net, &before)
        })?;
        spaces.notes.extend(left.into_iter().map(|(name, why)| {
            format!("/proc/sys/net/{} is not what it was: {why}", String::from_utf8_lossy(&name))
        }));
        Ok(())
    }
}
