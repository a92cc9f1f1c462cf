//! Routes.

use crate::{Result, network, resource::OfNamespace};
use floe_network::{NEXT_HOPS, ROUTES};
use floe_records::{Routes, Tree};

impl OfNamespace for Routes {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        network::each(tree, |id, net| {
            let next_hops = network::all(&NEXT_HOPS, net)?;
            Ok(Routes { id, next_hops, all: network::all(&ROUTES, net)? })
        })
    }
}
