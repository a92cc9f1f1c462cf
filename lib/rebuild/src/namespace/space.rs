//! Namespaces: the one of restore takes the place of each, if it is the same one, or the user says that it may.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::Namespace;
use floe_sys::Result;

impl ForNamespace for Namespace {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.inherit(self)
    }
}
