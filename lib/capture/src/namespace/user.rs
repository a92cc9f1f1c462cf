//! Maps of user namespaces, read from outside of them.

use crate::{Result, own_spaces, resource::OfNamespace};
use floe_proc::unable;
use floe_records::{IdMaps, NsKind, Pid, Tree};
use std::{fs::File, io, os::fd::AsFd};

impl OfNamespace for IdMaps {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let members = own_spaces::members(tree, NsKind::User);
        members.map(|(id, pid)| Ok(IdMaps { id, ..maps(pid)? })).collect()
    }
}

/// Of the user namespace of a process.
pub(crate) fn maps(Pid(pid): Pid) -> Result<IdMaps> {
    let file =
        File::open(floe_proc::path(pid, "ns/user")).map_err(|e| unable(pid, "ns/user", e))?;
    Ok(IdMaps {
        id: floe_records::NsId(0),
        owner: floe_sys::namespace_owner_uid(file.as_fd())?,
        users: floe_proc::id_map(pid, "uid_map")?,
        groups: floe_proc::id_map(pid, "gid_map")?,
        projects: floe_proc::id_map(pid, "projid_map")?,
        denies_groups: match floe_proc::read(pid, "setgroups")?.trim_ascii_end() {
            b"allow" => false,
            b"deny" => true,
            _ => {
                return Err(
                    unable(pid, "setgroups", io::Error::from(io::ErrorKind::InvalidData)).into()
                );
            }
        },
    })
}
