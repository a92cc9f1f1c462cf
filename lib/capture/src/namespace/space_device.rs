//! Which file systems show namespaces: the kernel has one for each, however often it is mounted.

use crate::{Result, own_spaces, resource::OfNamespace};
use floe_records::{NsKind, SpaceDevice, Tree};
use floe_sys::{Error, fsconfig_create, fsmount, fsopen};
use nix::sys::stat::fstat;
use std::os::fd::AsFd;

impl OfNamespace for SpaceDevice {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for kind in [NsKind::Net, NsKind::Ipc] {
            all.extend(own_spaces::each(tree, kind, |id| {
                let dev = device(kind)?;
                Ok(dev.map(|dev| SpaceDevice { id, kind, dev }).into_iter().collect())
            })?);
        }
        Ok(all)
    }
}

/// The device of the file system that shows the namespace of the calling thread; `None` where the kernel has none.
pub(crate) fn device(kind: NsKind) -> Result<Option<u64>> {
    let fs_type: &[u8] = if kind == NsKind::Net { b"sysfs" } else { b"mqueue" };
    let fs = match fsopen(fs_type) {
        Err(e) if e.errno() == Some(libc::ENODEV) => return Ok(None),
        fs => fs?,
    };
    fsconfig_create(fs.as_fd())?;
    let mount = fsmount(fs.as_fd(), 0)?;
    let stat = fstat(&mount).map_err(|e| Error::new("look at a file system", e))?;
    Ok(Some(stat.st_dev))
}
