//! Rules of routing.

use crate::{Result, network, resource::OfNamespace};
use floe_network::RULES;
use floe_records::{RoutingRules, Tree};

impl OfNamespace for RoutingRules {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| Ok(RoutingRules { id, all: network::all(&RULES, net)? }))
    }
}
