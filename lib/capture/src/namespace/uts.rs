//! Names of UTS namespaces.

use crate::{Result, own_spaces, resource::OfNamespace};
use floe_records::{NsKind, Tree, UtsNames};
use floe_sys::Error;

impl OfNamespace for UtsNames {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        own_spaces::each(tree, NsKind::Uts, |id| {
            let name = |which: &str| {
                let path = format!("/proc/sys/kernel/{which}");
                let text =
                    std::fs::read(&path).map_err(|e| Error::new(format!("read {path}"), e))?;
                Ok::<_, Error>(text.strip_suffix(b"\n").unwrap_or(&text).into())
            };
            // Where none was set, it reads as this.
            Ok(vec![UtsNames { id, host: name("hostname")?, domain: name("domainname")? }])
        })
    }
}
