//! signalfd(2), by fs/signalfd.c's show_fdinfo.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{FileId, Signalfd};
use floe_sys::Error;
impl OfFile for Signalfd {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[signalfd]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let mask = seen.info.hex("sigmask").map_err(|e| Error::new("read a signalfd", e))?;
        Ok(Signalfd { file, mask })
    }
}
