//! Files without a name are found by their descriptions and mappings: `dumpfs` and `dumpmem` write those records with
//! the contents.

use crate::{Result, files::Files, resource::OfObject};
use floe_records::{Findings, Object};

impl OfObject for Object {
    fn collect(_: &Files, _: &mut Findings) -> Result<Vec<Self>> {
        Ok(Vec::new())
    }
}
