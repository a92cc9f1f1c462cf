//! What was removed and is no regular file is made again before anything else, since processes may stand in it (`removed.rs`).

use crate::{factory::Factory, resource::ForObject};
use floe_records::RemovedNode;
use floe_sys::{Error, Result};

impl ForObject for RemovedNode {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        let gone = || Error::because("make it again", "it was not made");
        make.stands.removed(&self.name).map(drop).map_err(|_| gone())
    }

    fn describe(&self) -> String {
        format!("{} (deleted)", self.name.path)
    }
}
