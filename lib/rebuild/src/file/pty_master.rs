//! Masters of pseudo terminals: there is one description of each, which its making gives.

use crate::{factory::Factory, resource::ForFile};
use floe_records::{OpenFile, PtyMaster};
use floe_sys::{Error, Result};
use std::os::fd::OwnedFd;

impl ForFile for PtyMaster {
    fn open(&self, _: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let doing = "open the master of a pseudo terminal";
        let made = make.ptys.get(&self.pty);
        let made = made.ok_or_else(|| Error::because(doing, "it could not be made"))?;
        made.master.try_clone().map_err(|e| Error::new(doing, e))
    }
}
