//! Which namespaces the tree is put into.

use crate::{
    here::Here,
    options::{RestoreOptions, Veth},
};
use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What takes the place of each namespace of the tree.
pub(crate) struct Spaces<'a> {
    all: BTreeMap<NsId, Option<OwnedFd>>,
    /// Those that restore has made, and is in.
    made: BTreeSet<NsId>,
    /// Those of them that stay empty.
    empty: BTreeSet<NsId>,
    here: &'a Here,
    same_boot: bool,
    /// Kinds of which the user has said where the tree belongs.
    told: Vec<NsKind>,
    /// What takes the place of the other ends of interfaces that were outside, and the namespace where they are.
    pub veth: (&'a [Veth], Option<BorrowedFd<'a>>),
    /// What is not quite as it was, for people.
    pub notes: Vec<String>,
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
        let is_made = |space: &&Namespace| options.made.contains(&space.id);
        let made = tree.all::<Namespace>().iter().filter(is_made).map(|space| space.id).collect();
        let empty = |space: &&Namespace| options.empty.contains(&space.kind);
        let empty = tree.all::<Namespace>().iter().filter(empty).map(|space| space.id).collect();
        let veth = (options.veth.as_slice(), Some(options.outer.net.as_fd()));
        let (all, to_make, notes) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self {
            all,
            made,
            empty,
            here: &options.here,
            same_boot,
            told,
            veth,
            notes,
            described,
            to_make,
        }
    }

    /// The one of restore takes its place, where that is the same or the user has said so.
    pub fn inherit(&mut self, was: &Namespace) -> Result<()> {
        self.all.insert(was.id, None);
        if self.made.contains(&was.id) {
            return Ok(());
        }
        let told = self.told.contains(&was.kind);
        let is_ours = self.here.is_in(was, self.same_boot) == Some(true);
        if !told && self.described.contains(&was.id) && !is_ours {
            self.to_make.push(was.id);
            return Ok(());
        }
        let differs = self.here.differs(was, self.same_boot);
        let Some(differs) = differs.filter(|_| !self.told.contains(&was.kind)) else {
            return Ok(());
        };
        let name = was.kind.name();
        let root = if was.kind == NsKind::Mnt { "--root DIR, " } else { "" };
        let first = match was.kind {
            NsKind::Mnt => "take the checkpoint with dumpmnt, which has it made again, or ",
            _ => "",
        };
        let hint = format!(
            "{first}say where the tree belongs: {root}--join {name}=PATH of a namespace, or --join {name}=here"
        );
        let doing = format!("put the tree into its {name} namespace");
        Err(Error::because(doing, format!("{differs} ({hint})")))
    }

    /// Mount namespaces that are to be made.
    pub fn to_make(&self) -> &[NsId] {
        &self.to_make
    }

    /// One was made.
    pub fn set_made(&mut self, id: NsId, space: OwnedFd) {
        self.all.insert(id, Some(space));
    }

    /// Whether restore has made a namespace of a kind.
    pub fn has_made(&self, kind: NsKind, tree: &Tree) -> bool {
        tree.all::<Namespace>().iter().any(|it| it.kind == kind && self.is_made(it.id))
    }

    /// Whether restore has made it.
    pub fn is_made(&self, id: NsId) -> bool {
        self.made.contains(&id)
    }

    /// Puts something into a namespace that restore has made; one that was there has its own.
    pub fn furnish(&self, id: NsId, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let bare = self.made.contains(&id) && !self.empty.contains(&id);
        if bare { work() } else { Ok(()) }
    }

    /// The namespace to enter; `None` for our own.
    pub fn of(&self, id: NsId) -> Result<Option<&OwnedFd>> {
        let unknown = || Error::because("find its namespaces", "they are not in the stream");
        Ok(self.all.get(&id).ok_or_else(unknown)?.as_ref())
    }
}
