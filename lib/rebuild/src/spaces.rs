//! Which namespaces the tree is put into.

use crate::{here::Here, options::RestoreOptions};
use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::Path,
};

/// What takes the place of each namespace of the tree.
pub(crate) struct Spaces<'a> {
    all: BTreeMap<NsId, Option<OwnedFd>>,
    here: &'a Here,
    same_boot: bool,
    /// Kinds of which the user has said where the tree belongs.
    told: Vec<NsKind>,
    /// Mount namespaces that the stream describes.
    described: BTreeSet<NsId>,
    /// Those of them that are to be made.
    to_make: Vec<NsId>,
}

impl<'a> Spaces<'a> {
    pub fn new(tree: &Tree, options: &'a RestoreOptions) -> Self {
        let mut told = options.joined.clone();
        let of_mounts = |space: &&Namespace| space.kind == NsKind::Mnt;
        // One directory cannot stand for the roots of several.
        let described = tree.all::<MountTree>().iter().map(|it| it.id).collect::<BTreeSet<_>>();
        if options.root != Path::new("/")
            && described.is_empty()
            && tree.all::<Namespace>().iter().filter(of_mounts).count() == 1
        {
            told.push(NsKind::Mnt);
        }
        let same_boot = options.here.is_same_boot(tree);
        let (all, to_make) = (BTreeMap::new(), Vec::new());
        Self { all, here: &options.here, same_boot, told, described, to_make }
    }

    /// The one of restore takes its place, where that is the same or the user has said so.
    pub fn inherit(&mut self, was: &Namespace) -> Result<()> {
        self.all.insert(was.id, None);
        let told = self.told.contains(&was.kind);
        if !told && self.described.contains(&was.id) && !self.here.is(was, self.same_boot) {
            self.to_make.push(was.id);
            return Ok(());
        }
        let differs = self.here.differs(was, self.same_boot);
        let Some(differs) = differs.filter(|_| !self.told.contains(&was.kind)) else {
            return Ok(());
        };
        let name = was.kind.name();
        let root = if was.kind == NsKind::Mnt { "--root DIR, " } else { "" };
        let hint = format!(
            "say where the tree belongs: {root}--join {name}=PATH of a namespace, or --join {name}=here"
        );
        let doing = format!("put the tree into its {name} namespace");
        Err(Error::because(doing, format!("{differs} ({hint})")))
    }

    /// Mount namespaces that are to be made.
    pub fn to_make(&self) -> &[NsId] {
        &self.to_make
    }

    /// One was made.
    pub fn made(&mut self, id: NsId, space: OwnedFd) {
        self.all.insert(id, Some(space));
    }

    /// The namespace to enter; `None` for our own.
    pub fn of(&self, id: NsId) -> Result<Option<&OwnedFd>> {
        let unknown = || Error::because("find its namespaces", "they are not in the stream");
        Ok(self.all.get(&id).ok_or_else(unknown)?.as_ref())
    }
}
