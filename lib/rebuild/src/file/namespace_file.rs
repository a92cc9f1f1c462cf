//! Open namespaces: those of a process that is a member, when all processes exist.

use crate::{named::flags, resource::ForFile};
use floe_records::{FileId, NamespaceFile, Namespaces, OpenFile, Tree};
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open as open_path},
    sys::stat::Mode,
};
use std::{collections::BTreeMap, os::fd::OwnedFd};

impl ForFile for NamespaceFile {
    fn late(
        &self,
        open: &OpenFile,
        tree: &Tree,
        _: &mut BTreeMap<FileId, OwnedFd>,
    ) -> Result<OwnedFd> {
        let doing = || format!("open a {} namespace", self.kind.name());
        let none = || Error::because(doing(), "no process is a member of it");
        let is_it = |(_, id): &(&str, _)| *id == self.namespace;
        let members = tree.all::<Namespaces>().iter();
        let mut members =
            members.filter_map(|all| Some((all.pid, all.all().into_iter().find(is_it)?.0)));
        let (pid, name) = members.next().ok_or_else(none)?;
        let path = floe_proc::path(pid.0, &format!("ns/{name}"));
        let flags = flags(open) | OFlag::O_CLOEXEC;
        open_path(&path, flags, Mode::empty()).map_err(|e| Error::new(doing(), e))
    }
}
