//! Descriptions of files without a name.

use crate::{FileId, Link, ObjectId, Resource};
use serde::{Deserialize, Serialize};

/// A memfd or removed file; see [`Object`](crate::Object).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamelessFile {
    /// The open file description.
    pub file: FileId,
    /// The object.
    pub object: ObjectId,
}

impl Resource for NamelessFile {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Object(self.object));
    }
}
