//! Neighbours in network namespaces that restore has made.

use crate::{network::settle, resource::ForNamespace, spaces::Spaces};
use floe_network::NEIGHBOURS;
use floe_records::Neighbours;
use floe_sys::Result;

impl ForNamespace for Neighbours {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || settle(&NEIGHBOURS, &self.all))
    }
}
