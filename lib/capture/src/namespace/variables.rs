//! Variables of network namespaces.

use crate::{Result, network, resource::OfNamespace};
use floe_network::links;
use floe_records::{Bytes, NetVariables, Tree};

impl OfNamespace for NetVariables {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| {
            let names: Vec<Vec<u8>> = links(net)?.into_iter().map(|link| link.name).collect();
            let all = network::variables(&names)?.into_iter();
            Ok(NetVariables {
                id,
                all: all.map(|(name, value)| (Bytes(name), Bytes(value))).collect(),
            })
        })
    }
}
