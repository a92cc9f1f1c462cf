//! Where this tool was started, if it has gone to where the tree stands since: namespaces of that place are inherited, and not the
//! tree's own.

use floe_records::NsKind;
use floe_sys::Result;
use std::{collections::BTreeMap, sync::OnceLock};

/// Namespaces at the start, by kind.
type Origin = BTreeMap<NsKind, u64>;

static ORIGIN: OnceLock<Origin> = OnceLock::new();

/// Notes which namespaces we were in; to be called before they are left.
///
/// # Errors
/// Where /proc/self/ns cannot be read.
pub fn start_here() -> Result<()> {
    // Once is enough.
    let _ = ORIGIN.set(own()?);
    Ok(())
}

fn own() -> Result<Origin> {
    let mut all = Origin::new();
    for kind in NsKind::ALL {
        if let Some(id) = floe_proc::namespace(std::process::id(), kind.name())? {
            all.insert(kind, id);
        }
    }
    Ok(all)
}

/// The namespaces that we were started in.
pub(crate) fn all() -> Result<Origin> {
    ORIGIN.get().cloned().map_or_else(own, Ok)
}

/// The namespace of a kind that we were started in.
pub(crate) fn namespace(kind: NsKind) -> Result<Option<u64>> {
    match ORIGIN.get() {
        Some(all) => Ok(all.get(&kind).copied()),
        None => floe_proc::namespace(std::process::id(), kind.name()),
    }
}
