//! The name of an image from which on changes are kept track of.

use crate::{Bytes, Resource, ensure};
use serde::{Deserialize, Serialize};

/// What the tree was at one moment, behind which the kernel notes which pages are written: `freeze --since` can tell what has
/// changed since. Images of the same id have the same content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracked {
    /// By chance: 32 hexadecimal digits.
    pub id: Bytes,
}

/// Whether this can be the id of an image.
pub(crate) fn check_id(id: &Bytes) -> Result<(), String> {
    let digits = id.0.len() == 32 && id.0.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    ensure(digits, "its id is not 32 hexadecimal digits")
}

impl Resource for Tracked {
    type Key = ();
    fn key(&self) -> Self::Key {}

    fn check(&self) -> Result<(), String> {
        check_id(&self.id)
    }
}
