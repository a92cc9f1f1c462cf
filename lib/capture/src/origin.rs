//! Where this tool was started, if it has gone to where the tree stands since: namespaces of that place are inherited, and not the
//! tree's own.

use floe_records::{Bytes, NsKind};
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

/// Processes in each frozen cgroup of version 1 that a process is in, by its path: such a cgroup shows only those of the pid
/// namespace of who looks.
static FROZEN: OnceLock<BTreeMap<Bytes, usize>> = OnceLock::new();

/// Notes how many processes are in the frozen cgroups of the root of a tree; to be called in the initial pid namespace, before that
/// is left. In another one nobody can tell.
///
/// # Errors
/// Those of reading them.
pub fn note_frozen(root: u32) -> Result<()> {
    if !floe_proc::is_in_initial_pid_namespace()? {
        return Ok(());
    }
    let (mounts, text) = (floe_cgroups::Mounts::read()?, floe_proc::read(root, "cgroup")?);
    let mut all = BTreeMap::new();
    for line in floe_cgroups::lines(&text) {
        let mut path = line.path;
        while path.len() > 1 {
            let directories = mounts.directories(line.hierarchy, path);
            if let Some(directory) = floe_cgroups::Directory::open(&directories)?
                && !directory.is_version_2()
                && directory.is_told_to_freeze()?
            {
                all.insert(path.into(), directory.processes()?.len());
            }
            let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            path = &path[..above];
        }
    }
    // Once is enough.
    let _ = FROZEN.set(all);
    Ok(())
}

/// How many processes are in a frozen cgroup of version 1, where that was noted.
pub(crate) fn in_frozen(path: &Bytes) -> Option<usize> {
    FROZEN.get()?.get(path).copied()
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
