//! Names of UTS namespaces that restore has made.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::UtsNames;
use floe_sys::{Error, Result};
use nix::unistd::sethostname;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

impl ForNamespace for UtsNames {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || {
            sethostname(OsStr::from_bytes(&self.host.0))
                .map_err(|e| Error::new("set the host name", e))?;
            let path = "/proc/sys/kernel/domainname";
            std::fs::write(path, &self.domain.0).map_err(|e| Error::new("set the domain name", e))
        })
    }
}
