//! eventfd(2), by fs/eventfd.c's show_fdinfo.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Eventfd, FileId};
use floe_sys::{Error, counts_down};

impl OfFile for Eventfd {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[eventfd]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let fail = |e| Error::new("read an eventfd", e);
        let count = seen.info.hex("eventfd-count").map_err(fail)?;
        let semaphore = match seen.info.line("eventfd-semaphore") {
            Some(shown) => shown == b"1",
            // Older kernels (6.1) do not show it. No refusal depends on it.
            None if !seen.context.taking => false,
            None => {
                let count = seen.info_now()?.hex("eventfd-count").map_err(fail)?;
                counts_down(seen.duplicate()?, count)?
            }
        };
        Ok(Eventfd { file, count, semaphore })
    }
}
