//! Maps of user namespaces, read from outside of them.

use crate::{Result, origin, own_spaces, resource::OfNamespace};
use floe_proc::unable;
use floe_records::{IdMaps, NsId, NsKind, Pid, Tree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
};

impl OfNamespace for IdMaps {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let members: Vec<_> = own_spaces::members(tree, NsKind::User).collect();
        let known: BTreeSet<NsId> = members.iter().map(|(id, _)| *id).collect();
        let mut all = BTreeMap::new();
        for (id, pid) in members {
            let around = above(pid)?.unwrap_or_default().into_iter();
            for (above, space) in around.filter(|(id, _)| !known.contains(id)) {
                all.insert(above, IdMaps { id: above, ..maps_within(&space)? });
            }
            all.insert(id, IdMaps { id, ..maps(pid)? });
        }
        Ok(all.into_values().collect())
    }
}

/// The user namespaces around that of a process, outwards up to that of freeze; `None` where it does not lie in that.
pub(crate) fn above(Pid(pid): Pid) -> Result<Option<Vec<(NsId, File)>>> {
    let ours = origin::namespace(NsKind::User)?;
    let mut space =
        File::open(floe_proc::path(pid, "ns/user")).map_err(|e| unable(pid, "ns/user", e))?;
    let mut all = Vec::new();
    while let Ok(around) = floe_sys::namespace_parent(space.as_fd()) {
        let around = File::from(around);
        let id = around.metadata().map_err(|e| unable(pid, "ns/user", e))?.ino();
        if Some(id) == ours {
            return Ok(Some(all));
        }
        let kept = around.try_clone().map_err(|e| unable(pid, "ns/user", e))?;
        all.push((NsId(id), kept));
        space = around;
    }
    Ok(None)
}

/// Of a user namespace that nobody need be in.
pub(crate) fn maps_within(space: &File) -> Result<IdMaps> {
    let member = floe_sys::UserMember::of(space.as_fd())?;
    maps(Pid(member.pid()))
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
