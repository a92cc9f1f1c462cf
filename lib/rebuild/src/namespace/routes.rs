//! Routes of network namespaces that restore has made.

use crate::{network::settle, resource::ForNamespace, spaces::Spaces};
use floe_network::{NEXT_HOPS, ROUTES};
use floe_records::Routes;
use floe_sys::Result;

impl ForNamespace for Routes {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || {
            settle(&NEXT_HOPS, &self.next_hops)?;
            settle(&ROUTES, &self.all)
        })
    }
}
