//! Whose processes a proc file system shows: those of the pid namespace that it was mounted in.

use super::{
    RULE, Space,
    files::{link, open_copy},
};
use crate::Result;
use floe_mounts::Mount;
use floe_proc::{Status, read_at};
use floe_records::{Finding, Findings, MountedSystem, NsId, ProcSpace};
use floe_sys::Error;
use std::{collections::BTreeSet, io::ErrorKind, path::Path};

/// Whose they are.
enum Shown {
    /// Of our own pid namespace, which is that of the tree.
    Ours,
    Others(NsId),
    /// Of a namespace that has ended, or that we are not above.
    Unknown,
}

/// Finds one of the tree's own that shows those of another pid namespace than the tree knows: it would be mounted in that of the tree.
/// What is covered nobody sees. `known`: those that lie below that of the tree.
pub(super) fn check(
    space: &Space,
    mount: &Mount,
    system: &MountedSystem,
    known: &BTreeSet<NsId>,
    out: &mut Findings,
) -> Option<ProcSpace> {
    // A part of one tells nothing of that.
    if mount.fs_type != b"proc" || mount.root != b"/" || !system.outside.is_empty() {
        return None;
    }
    let problem = match shown(space, mount) {
        Ok(Shown::Ours) => return None,
        Ok(Shown::Others(id)) if known.contains(&id) => {
            return Some(ProcSpace { dev: mount.dev, id });
        }
        Ok(_) => "it shows another pid namespace than those of the tree".to_owned(),
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
    None
}

fn shown(space: &Space, mount: &Mount) -> Result<Shown> {
    let top = open_copy(space, mount)?;
    let own = link(&top).join("self");
    // Of a namespace that we are not in, it leads nowhere.
    match own.read_link() {
        Err(error) if error.kind() == ErrorKind::NotFound => return of_init(&link(&top)),
        link => link.map_err(|e| Error::new("read self", e))?,
    };
    let status = Status::parse(std::process::id(), read_at(own.join("status"))?)?;
    // In one further outside we have more than one number.
    let is_ours = status.numbers("NSpid")?.len() == 1;
    Ok(if is_ours { Shown::Ours } else { Shown::Unknown })
}

/// The namespace of the process that has the number 1 there.
fn of_init(top: &Path) -> Result<Shown> {
    match top.join("1/ns/pid").read_link() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Shown::Unknown),
        link => {
            let link = link.map_err(|e| Error::new("read whose init it shows", e))?;
            let number = link.to_str().and_then(|link| link.strip_prefix("pid:["));
            let number = number.and_then(|link| link.strip_suffix(']')?.parse().ok());
            Ok(number.map_or(Shown::Unknown, |number| Shown::Others(NsId(number))))
        }
    }
}
