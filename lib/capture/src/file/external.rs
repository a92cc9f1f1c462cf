//! Terminals: they belong to the world outside of the tree. (Pipes and sockets that turn out to do so become these later.)

use crate::descriptor::terminal::is_terminal;
use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Bytes, External, FileId};
use nix::sys::stat::{major, minor};
impl OfFile for External {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_char_device() && is_terminal(seen.stat.rdev) && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        if (major(seen.stat.rdev), minor(seen.stat.rdev)) == (5, 2) {
            let what = "pseudo terminals that the tree has made itself cannot be captured";
            return Err(Problem::new("file.ptmx", what));
        }
        Ok(External { file, what: Bytes(seen.link.to_vec()) })
    }
}
