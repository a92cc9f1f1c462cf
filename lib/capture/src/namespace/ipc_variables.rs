//! Variables of IPC namespaces.

use crate::{Result, own_spaces, resource::OfNamespace};
use floe_records::{Bytes, IpcVariables, NsKind, Tree};
use floe_sys::Error;

impl OfNamespace for IpcVariables {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        own_spaces::each(tree, NsKind::Ipc, |id| {
            let mut all = Vec::new();
            for name in IpcVariables::NAMES {
                let path = format!("/proc/sys/{name}");
                match std::fs::read(&path) {
                    Ok(value) => {
                        let value = value.strip_suffix(b"\n").unwrap_or(&value);
                        all.push((name.into(), Bytes::from(value)));
                    }
                    // Not every kernel has all of them.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Error::new(format!("read {path}"), e).into()),
                }
            }
            Ok(vec![IpcVariables { id, all }])
        })
    }
}
