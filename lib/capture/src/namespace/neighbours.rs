//! Neighbours.

use crate::{Result, network, resource::OfNamespace};
use floe_network::NEIGHBOURS;
use floe_records::{Neighbours, Tree};

impl OfNamespace for Neighbours {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| Ok(Neighbours { id, all: network::all(&NEIGHBOURS, net)? }))
    }
}
