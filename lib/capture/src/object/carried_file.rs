//! Files that are carried are written by `dumpfs`, with their contents, where it is asked to.

use crate::{Result, files::Files, resource::OfObject};
use floe_records::{CarriedFile, Findings};

impl OfObject for CarriedFile {
    fn collect(_: &Files, _: &mut Findings) -> Result<Vec<Self>> {
        Ok(Vec::new())
    }
}
