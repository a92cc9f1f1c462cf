//! User namespaces: they are made, with their maps, before anything else is (`crate::new_spaces`).

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::IdMaps;
use floe_sys::Result;

impl ForNamespace for IdMaps {
    fn stand(&self, _: &mut Spaces<'_>) -> Result<()> {
        Ok(())
    }
}
