//! Variables of IPC namespaces that restore has made: those that differ are written, before anything is made that they limit.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::{Bytes, IpcVariables};
use floe_sys::Result;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

impl ForNamespace for IpcVariables {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        let mut left = Vec::new();
        spaces.furnish(self.id, || {
            let failed = self.all.iter().filter_map(|(name, value)| {
                let done = write(name, value);
                done.err().map(|e| format!("/proc/sys/{name} is not what it was: {e}"))
            });
            left.extend(failed);
            Ok(())
        })?;
        spaces.notes.append(&mut left);
        Ok(())
    }
}

fn write(name: &Bytes, value: &Bytes) -> std::io::Result<()> {
    let path = Path::new("/proc/sys").join(OsStr::from_bytes(&name.0));
    let now = std::fs::read(&path)?;
    if now.strip_suffix(b"\n").unwrap_or(&now) == value.0 {
        return Ok(());
    }
    std::fs::write(&path, [&value.0[..], b"\n"].concat())
}
