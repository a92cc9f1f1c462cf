//! Namespaces: today the one of restore takes the place of each.

use crate::{resource::ForNamespace, stand::Spaces};
use floe_records::Namespace;
use floe_sys::Result;

impl ForNamespace for Namespace {
    fn stand(&self, spaces: &mut Spaces) -> Result<()> {
        spaces.inherit(self.id);
        Ok(())
    }
}
