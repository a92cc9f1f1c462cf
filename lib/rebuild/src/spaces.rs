//! Which namespaces the tree is put into.

use crate::{
    cgroups::{self, NewSpace},
    file::tcp,
    here::Here,
    options::{RestoreOptions, Veth},
    space_maker::SpaceMaker,
    users::{self, Users},
};
use floe_netlock::Held;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sched::CloneFlags;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Kinds of namespaces that processes of the tree enter (setns(2)), in that order: paths lead elsewhere behind the last.
pub(crate) const ENTERED: [(NsKind, CloneFlags); 5] = [
    (NsKind::Cgroup, CloneFlags::CLONE_NEWCGROUP),
    (NsKind::Ipc, CloneFlags::CLONE_NEWIPC),
    (NsKind::Net, CloneFlags::CLONE_NEWNET),
    (NsKind::Uts, CloneFlags::CLONE_NEWUTS),
    (NsKind::Mnt, CloneFlags::CLONE_NEWNS),
];

/// What takes the place of each namespace of the tree.
pub(crate) struct Spaces<'a> {
    all: BTreeMap<NsId, Option<OwnedFd>>,
    /// Those that are made inside of those of restore, with their flags.
    inner: BTreeMap<NsId, (&'static str, CloneFlags)>,
    /// Our own, where there are such.
    own: BTreeMap<NsKind, OwnedFd>,
    /// Cgroup namespaces that were made.
    cgroups: cgroups::Made,
    tree: &'a Tree,
    pub users: Users<'a>,
    /// The root of the tree has been born in its user namespace.
    born: Option<NsId>,
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
    /// Over connections in network namespaces that were made, each from before it had an interface.
    pub locks: BTreeMap<NsId, Held>,
    /// What is not quite as it was, for people.
    pub notes: Vec<String>,
    /// Mount namespaces that the stream describes.
    described: BTreeSet<NsId>,
    /// Those of them that are to be made.
    to_make: Vec<NsId>,
}

impl<'a> Spaces<'a> {
    pub fn new(
        tree: &'a Tree,
        options: &'a RestoreOptions,
        (cgroups, users): (cgroups::Made, Users<'a>),
    ) -> Self {
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
        let (all, locks, to_make, notes) =
            (BTreeMap::new(), BTreeMap::new(), Vec::new(), Vec::new());
        let flag = |kind| ENTERED.into_iter().find(|(of, _)| *of == kind);
        let inner = inner(tree, options).filter_map(|it| {
            let (kind, flag) = flag(it.kind)?;
            Some((it.id, (kind.name(), flag)))
        });
        let inner = inner.collect();
        let root = tree.root().and_then(|root| tree.get::<Namespaces>(root.pid));
        let born = root.map(|all| all.user).filter(|_| users::is_born_there(tree));
        Self {
            all,
            inner,
            own: BTreeMap::new(),
            cgroups,
            tree,
            users,
            born,
            made,
            empty,
            here: &options.here,
            same_boot,
            told,
            veth,
            locks,
            notes,
            described,
            to_make,
        }
    }

    /// The one of restore takes its place, where that is the same or the user has said so.
    pub fn inherit(&mut self, was: &Namespace) -> Result<()> {
        self.all.insert(was.id, None);
        if self.made.contains(&was.id) {
            return self.lock(was, None);
        }
        if self.users.space(was.id).is_some() {
            return Ok(());
        }
        if let Some(kind) = self.inner.get(&was.id).copied() {
            return self.make(was, kind);
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

    fn make(&mut self, was: &Namespace, kind: (&'static str, CloneFlags)) -> Result<()> {
        let space = match (was.kind, self.cgroups.remove(&was.id)) {
            // Why it is not there is told of the cgroups.
            (NsKind::Cgroup, None) => return Ok(()),
            (NsKind::Cgroup, Some(made)) => made?,
            _ => SpaceMaker::start(kind, self.users.owner(self.tree, was)?)?.make()?,
        };
        if let Entry::Vacant(place) = self.own.entry(was.kind) {
            let path = format!("/proc/self/ns/{}", kind.0);
            let own = std::fs::File::open(&path);
            let own = own.map_err(|e| Error::new(format!("open {path}"), e))?;
            place.insert(own.into());
        }
        self.lock(was, Some(space.as_fd()))?;
        self.all.insert(was.id, Some(space));
        Ok(())
    }

    /// Keeps the network away from connections in a namespace that was made, our own or `space`.
    fn lock(&mut self, was: &Namespace, space: Option<BorrowedFd<'_>>) -> Result<()> {
        if was.kind == NsKind::Net {
            let lock = tcp::lock(self.tree, was.id, space)?;
            self.locks.extend(lock.map(|lock| (was.id, lock)));
        }
        Ok(())
    }

    /// Those that file systems of the tree show, by the devices of those.
    pub fn shown(&self, tree: &Tree) -> BTreeMap<u64, BorrowedFd<'_>> {
        let all = tree.all::<SpaceDevice>().iter();
        let open = |id| self.all.get(id).and_then(Option::as_ref).map(AsFd::as_fd);
        all.filter_map(|it| Some((it.dev, open(&it.id)?))).collect()
    }

    /// The IPC namespace that a file system of message queues shows, or that what stands for one tells of segments; `None` for our own.
    pub fn shown_ipc(&self, dev: u64) -> Result<Option<&OwnedFd>> {
        if is_of_segments(dev) {
            return space_of_segments(dev).map_or(Ok(None), |id| self.of(id));
        }
        let mut all = self.tree.all::<SpaceDevice>().iter();
        let shown = all.find(|it| it.kind == NsKind::Ipc && it.dev == dev);
        shown.map_or(Ok(None), |it| self.of(it.id))
    }

    /// Mount namespaces that are to be made.
    pub fn to_make(&self) -> &[NsId] {
        &self.to_make
    }

    /// One was made.
    pub fn set_made(&mut self, id: NsId, space: OwnedFd) {
        self.all.insert(id, Some(space));
    }

    /// Puts something into a namespace that restore has made; one that was there has its own.
    pub fn furnish(&self, id: NsId, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
        if self.empty.contains(&id) {
            return Ok(());
        }
        if self.made.contains(&id) {
            return work();
        }
        let inner = self.inner.get(&id).zip(self.all.get(&id).and_then(Option::as_ref));
        let Some(((kind, _), space)) = inner else { return Ok(()) };
        floe_sys::apart_in(space.as_fd(), kind, work)
    }

    /// What a process enters that is born where another one is, or where restore is, each with its flag.
    pub fn entered(
        &self,
        own: &Namespaces,
        born: Option<&Namespaces>,
    ) -> Result<Vec<(Option<BorrowedFd<'_>>, NsKind, CloneFlags)>> {
        let mut all = Vec::new();
        for (kind, flag) in ENTERED {
            let (id, from) = (own.of(kind), born.map(|born| born.of(kind)));
            if from == Some(id) {
                continue;
            }
            let space = self.of(id)?.or(self.own.get(&kind));
            all.push((space.map(AsFd::as_fd), kind, flag));
        }
        // The rights in the others are those of the one around it.
        let user = Some(own.user)
            .filter(|id| born.map_or(self.born != Some(*id), |born| born.user != *id));
        if let Some(space) = user.and_then(|id| self.users.space(id)) {
            all.push((Some(space), NsKind::User, CloneFlags::CLONE_NEWUSER));
        }
        Ok(all)
    }

    /// The namespace to enter; `None` for our own.
    pub fn of(&self, id: NsId) -> Result<Option<&OwnedFd>> {
        let unknown = || Error::because("find its namespaces", "they are not in the stream");
        Ok(self.all.get(&id).ok_or_else(unknown)?.as_ref())
    }
}

/// Cgroup namespaces, in the cgroups that are to be their roots, begun.
pub(crate) fn cgroup_spaces<'a>(
    tree: &'a Tree,
    options: &RestoreOptions,
    users: &Users<'_>,
) -> Result<Vec<NewSpace<'a>>> {
    let of_cgroups = inner(tree, options).filter(|space| space.kind == NsKind::Cgroup);
    let begin = |was: &Namespace| NewSpace::begin(tree, was.id, users.owner(tree, was)?);
    of_cgroups.map(begin).collect()
}

/// Namespaces that restore makes without going there.
fn inner<'t>(tree: &'t Tree, options: &RestoreOptions) -> impl Iterator<Item = &'t Namespace> {
    let same_boot = options.here.is_same_boot(tree);
    let root = tree.root().and_then(|root| tree.get::<Namespaces>(root.pid));
    let is_inner = move |was: &&Namespace| {
        let of_root = root.is_some_and(|root| root.of(was.kind) == was.id);
        let at_root = || {
            was.kind == NsKind::Cgroup
                && !options.joined.contains(&was.kind)
                && options.here.is_in(was, same_boot) != Some(true)
        };
        let entered = was.kind != NsKind::Mnt && ENTERED.iter().any(|(kind, _)| *kind == was.kind);
        entered && !was.inherited && (!of_root || at_root())
    };
    let all: Vec<&Namespace> = tree.all::<Namespace>().iter().filter(is_inner).collect();
    all.into_iter()
}
