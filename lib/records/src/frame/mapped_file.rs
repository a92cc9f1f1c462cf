//! Files behind mappings.

use crate::{Bytes, FileRef, Link, Pid, Reference, Resource, ensure};
use serde::{Deserialize, Serialize};

/// The file behind a mapping, as it must be found again at restore.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedFile {
    /// A process that maps it, and whose root its path starts from.
    pub pid: Pid,
    /// The file.
    pub file: FileRef,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// NT_GNU_BUILD_ID, where the file has one.
    pub build_id: Option<Bytes>,
}

impl Resource for MappedFile {
    type Key = (Bytes, bool, u64, u64, Pid);
    fn key(&self) -> Self::Key {
        let file = &self.file;
        (file.path.clone(), file.outside, file.dev, file.ino, self.pid)
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        visit(Reference::Mapped(self));
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure(
            self.build_id.as_ref().is_none_or(|id| id.0.len() <= 256),
            "its build id is too long",
        )?;
        self.file.check()
    }
}
