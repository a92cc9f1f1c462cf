//! Ids in pid namespaces below the one of the root, which processes are made with ([`crate::births`]).

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::PidNames;
use floe_sys::Result;

impl ForNamespace for PidNames {
    fn stand(&self, _: &mut Spaces<'_>) -> Result<()> {
        Ok(())
    }
}
