//! The namespaces that the processes of a tree are members of.

use crate::{
    Result,
    namespace::{pid_names, user},
    origin,
    resource::OfNamespace,
};
use floe_records::{Namespace, Namespaces, NsId, NsKind, NsMount, Pid, Process, Tree};
use std::{
    collections::BTreeSet,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
};

impl OfNamespace for Namespace {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let mut known = BTreeSet::new();
        let (mut all, mut above) = (Vec::new(), Vec::new());
        for members in tree.all::<Namespaces>() {
            for kind in NsKind::ALL {
                let of_kind = members.all();
                let Some((_, id)) = of_kind.iter().find(|(name, _)| *name == kind.name()) else {
                    continue;
                };
                if !known.insert(*id) {
                    continue;
                }
                let name = format!("ns/{}", kind.name());
                let file = File::open(floe_proc::path(members.pid.0, &name));
                let file = file.map_err(|e| floe_proc::unable(members.pid.0, &name, e))?;
                all.push(describe(members.pid, kind, *id, &file)?);
                if kind == NsKind::User && origin::namespace(kind)? != Some(id.0) {
                    let around = user::above(members.pid)?.unwrap_or_default();
                    above.extend(around.into_iter().map(|it| (members.pid, it)));
                }
            }
        }
        // One that has ended may be the only one that was in its pid namespace.
        for ended in tree.all::<Process>().iter().filter(|p| p.has_ended()) {
            let (id, file) = pid_names::open(ended.pid)?;
            if known.insert(id) {
                all.push(describe(ended.pid, NsKind::Pid, id, &file.into())?);
            }
        }
        // Nobody need be in those around.
        for (pid, (id, file)) in above {
            if known.insert(id) {
                all.push(describe(pid, NsKind::User, id, &file)?);
            }
        }
        Ok(all)
    }
}

fn describe(pid: Pid, kind: NsKind, id: NsId, file: &File) -> Result<Namespace> {
    let parent = match kind {
        NsKind::Pid | NsKind::User => floe_sys::namespace_parent(file.as_fd()).ok(),
        _ => None,
    };
    let owner = floe_sys::namespace_owner(file.as_fd()).ok();
    let inherited = origin::namespace(kind)? == Some(id.0);
    Ok(Namespace {
        id,
        kind,
        parent: parent.and_then(number),
        owner: owner.and_then(number),
        inherited,
        initial: floe_proc::is_initial_namespace(kind.name(), id.0)?,
        cookie: floe_sys::namespace_cookie(file.as_fd(), kind == NsKind::Net && inherited),
        mounts: match kind {
            NsKind::Mnt => mounts(pid)?,
            _ => Vec::new(),
        },
    })
}

/// The number of a namespace that is open.
pub(crate) fn number(space: OwnedFd) -> Option<NsId> {
    File::from(space).metadata().ok().map(|meta| NsId(meta.ino()))
}

/// What is mounted in the mount namespace of a process.
fn mounts(pid: Pid) -> Result<Vec<NsMount>> {
    let lasting = floe_unions::lasting_mounts(&floe_proc::read(pid.0, "mountinfo")?).into_iter();
    let record = |mount: floe_unions::Mount| NsMount {
        point: mount.point.into(),
        fs_type: mount.fs_type.into(),
        root: mount.root.into(),
        dev: mount.dev,
    };
    Ok(lasting.map(record).collect())
}
