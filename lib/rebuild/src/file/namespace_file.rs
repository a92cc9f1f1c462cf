//! Open namespaces: those of a process that is a member, when all processes exist.

use crate::{factory::Factory, named::flags, resource::ForFile};
use floe_records::{FileId, NamespaceFile, Namespaces, OpenFile, Tree};
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open as open_path},
    sys::stat::Mode,
};
use std::{collections::BTreeMap, fs::File, os::fd::OwnedFd};

impl ForFile for NamespaceFile {
    /// Keeps its place.
    fn open(&self, _: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let fail = |e| Error::new("keep the place of a namespace", e);
        File::open("/dev/null").map(OwnedFd::from).map_err(fail)
    }

    fn late(&self, tree: &Tree, _: &mut BTreeMap<FileId, OwnedFd>) -> Result<OwnedFd> {
        let doing = || format!("open a {} namespace", self.kind.name());
        let none = || Error::because(doing(), "no process is a member of it");
        let open = tree.get::<OpenFile>(self.file).ok_or_else(none)?;
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
