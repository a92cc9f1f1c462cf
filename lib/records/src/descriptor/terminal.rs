//! Terminals (termios(3)). They belong to the world outside of the tree; their modes are the program's.

use crate::{Attached, Bytes, FileId, Property, Resource, ensure};
use serde::{Deserialize, Serialize};

/// How a terminal was set that an open file description of the tree names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// The file, which is external.
    pub file: FileId,
    /// `c_iflag`, `c_oflag`, `c_cflag`, `c_lflag`.
    pub flags: [u32; 4],
    /// `c_cc`.
    pub characters: Bytes,
}

impl Resource for Terminal {
    type Key = FileId;
    fn key(&self) -> Self::Key {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.characters.0.len() <= 64, "it has too many control characters")
    }
}

impl Property for Terminal {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
