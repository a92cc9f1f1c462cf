//! File systems that show a namespace: they are mounted where that one is ([`crate::mounts`]).

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::SpaceDevice;
use floe_sys::Result;

impl ForNamespace for SpaceDevice {
    fn stand(&self, _: &mut Spaces<'_>) -> Result<()> {
        Ok(())
    }
}
