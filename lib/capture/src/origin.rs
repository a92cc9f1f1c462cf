//! Where this tool was started, if it has gone to where the tree stands since: namespaces of that place are inherited, and not the
//! tree's own.

use crate::{
    object::cgroup::{self, Place},
    rule::pid_variables,
};
use floe_records::NsKind;
use floe_sys::Result;
use std::{collections::BTreeMap, sync::OnceLock};

/// Namespaces at the start, by kind.
pub(crate) type Origin = BTreeMap<NsKind, u64>;

static ORIGIN: OnceLock<Origin> = OnceLock::new();
static FROZEN: OnceLock<Vec<(Place, usize)>> = OnceLock::new();
static PID_VARIABLES: OnceLock<pid_variables::Values> = OnceLock::new();

/// Notes which namespaces we are in; to be called before they are left.
///
/// # Errors
/// Where /proc/self/ns cannot be read.
pub fn note_namespaces() -> Result<()> {
    all().map(drop)
}

/// Notes which namespaces we were in, and what shows there alone of a tree; to be called before they are left.
///
/// # Errors
/// Where /proc, or a cgroup of the root, cannot be read.
pub fn start_here(root: u32) -> crate::Result<()> {
    note_namespaces()?;
    let seen = match floe_proc::is_in_initial_pid_namespace()? {
        true => cgroup::frozen_above(root)?,
        false => Vec::new(),
    };
    let _ = FROZEN.set(seen);
    let _ = PID_VARIABLES.set(pid_variables::read()?);
    Ok(())
}

/// The variables of the pid namespace that we were started in; `None` where we have not left it.
pub(crate) fn pid_variables() -> Option<&'static pid_variables::Values> {
    PID_VARIABLES.get()
}

/// How many processes are in a frozen cgroup of the root, those of all pid namespaces; `None` where we have not been where they
/// show.
pub(crate) fn processes_in(place: &Place) -> Option<usize> {
    FROZEN.get()?.iter().find(|(of, _)| of == place).map(|(_, count)| *count)
}

/// The namespaces that we were started in: those of the first look at them.
pub(crate) fn all() -> Result<&'static Origin> {
    if let Some(all) = ORIGIN.get() {
        return Ok(all);
    }
    let mut all = Origin::new();
    for kind in NsKind::ALL {
        all.extend(own(kind)?.map(|id| (kind, id)));
    }
    Ok(ORIGIN.get_or_init(|| all))
}

/// The namespace of a kind that we were started in.
pub(crate) fn namespace(kind: NsKind) -> Result<Option<u64>> {
    Ok(all()?.get(&kind).copied())
}

/// Whether we are in another namespace of a kind now, one of the tree's own.
pub(crate) fn has_left(kind: NsKind) -> Result<bool> {
    Ok(own(kind)? != namespace(kind)?)
}

fn own(kind: NsKind) -> Result<Option<u64>> {
    floe_proc::namespace(std::process::id(), kind.name())
}
