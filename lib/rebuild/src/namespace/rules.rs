//! Rules of routing of network namespaces that restore has made.

use crate::{network::settle, resource::ForNamespace, spaces::Spaces};
use floe_network::RULES;
use floe_records::RoutingRules;
use floe_sys::Result;

impl ForNamespace for RoutingRules {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || settle(&RULES, &self.all))
    }
}
