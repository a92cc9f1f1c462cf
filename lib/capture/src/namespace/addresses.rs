//! Addresses of interfaces.

use crate::{Result, network, resource::OfNamespace};
use floe_network::ADDRESSES;
use floe_records::{Addresses, Tree};

impl OfNamespace for Addresses {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| Ok(Addresses { id, all: network::all(&ADDRESSES, net)? }))
    }
}
