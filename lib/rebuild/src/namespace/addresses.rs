//! Addresses of interfaces of network namespaces that restore has made.

use crate::{network::settle, resource::ForNamespace, spaces::Spaces};
use floe_network::ADDRESSES;
use floe_records::Addresses;
use floe_sys::Result;

impl ForNamespace for Addresses {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || settle(&ADDRESSES, &self.all))
    }
}
