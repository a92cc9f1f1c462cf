//! Whose processes a proc file system shows: those of the pid namespace that it was mounted in.

use super::{
    RULE, Space,
    files::{link, open_copy},
};
use crate::Result;
use floe_mounts::Mount;
use floe_proc::{Status, read_at};
use floe_records::{Finding, Findings, MountedSystem};
use floe_sys::Error;
use std::io::ErrorKind;

/// Finds one of the tree's own that shows those of another pid namespace: it would be mounted in that of the tree. What is covered
/// nobody sees.
pub(super) fn check(space: &Space, mount: &Mount, system: &MountedSystem, out: &mut Findings) {
    // A part of one tells nothing of that.
    if mount.fs_type != b"proc" || mount.root != b"/" || !system.outside.is_empty() {
        return;
    }
    let problem = match are_ours(space, mount) {
        Ok(true) => return,
        Ok(false) => "it shows another pid namespace than that of the tree".to_owned(),
        Err(error) => format!("whose processes it shows cannot be told: {error}"),
    };
    let object = format!("mount {} (proc)", String::from_utf8_lossy(&mount.point));
    let covers = |other: &Mount| other.parent == mount.id && other.point == mount.point;
    if space.mounts.iter().any(covers) {
        let problem = format!("{problem}; it is covered, and will show that of the tree");
        out.lose(Finding::of(space.pid, object, RULE, problem));
    } else {
        out.refuse(Finding::of(space.pid, object, RULE, problem).hint("unmount it"));
    }
}

/// Whether they are those of our own pid namespace, which is that of the tree.
fn are_ours(space: &Space, mount: &Mount) -> Result<bool> {
    let top = open_copy(space, mount)?;
    let own = link(&top).join("self");
    // Of a namespace that we are not in, it leads nowhere.
    match own.read_link() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        link => link.map_err(|e| Error::new("read self", e))?,
    };
    let status = Status::parse(std::process::id(), read_at(own.join("status"))?)?;
    // In one further outside we have more than one number.
    Ok(status.numbers("NSpid")?.len() == 1)
}
