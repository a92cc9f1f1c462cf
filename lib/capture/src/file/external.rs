//! Consoles and serial lines: they belong to the world outside of the tree. (Pseudo terminals, pipes and sockets that turn out to
//! do so become these later.)

use crate::descriptor::terminal::is_terminal;
use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Bytes, External, FileId, PtyMaster, PtySlave};

impl OfFile for External {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let pseudo = PtyMaster::claims(seen) || PtySlave::claims(seen);
        seen.stat.is_char_device() && is_terminal(seen.stat.rdev) && !pseudo && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(External { file, what: Bytes(seen.link.to_vec()) })
    }
}
