//! The image that a partial one continues.

use crate::{Bytes, Resource, frame::tracked::check_id};
use serde::{Deserialize, Serialize};

/// What has this is a part: pages that are as they were in its parent ([`Unchanged`](crate::Unchanged)) are not in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// What the parent says of itself ([`Tracked`](crate::Tracked)).
    pub id: Bytes,
}

impl Resource for Parent {
    type Key = ();
    fn key(&self) -> Self::Key {}

    fn check(&self) -> Result<(), String> {
        check_id(&self.id)
    }
}
