//! Mount namespaces of the tree that are made again: from mounts that are here, and from file systems that are mounted anew.

mod bases;
mod consoles;
pub(crate) mod files;
mod procs;
mod removed;
mod unpacked;

use crate::{
    cgroups::Cgroups,
    mounts::bases::{Bases, Shown},
    options::RestoreOptions,
    users::Users,
};
use files::Files;
use floe_mounts::{
    Built, Member, Outside, Shows, Wanted, Workshop, attributes, connect, mounts, place,
};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Mutex,
};

/// What was made before mounts are.
pub(crate) struct Around<'a> {
    pub cgroups: &'a Cgroups,
    pub shown: Shown<'a>,
    pub users: &'a Users<'a>,
}

/// A namespace that was made, and its root.
struct Space {
    space: OwnedFd,
    top: OwnedFd,
}

impl Space {
    fn of(built: &Built) -> Result<Self> {
        let kept = built.space.try_clone().and_then(|space| Ok((space, built.top.try_clone()?)));
        let (space, top) = kept.map_err(|e| Error::new("keep a mount namespace", e))?;
        Ok(Self { space, top })
    }
}

/// Namespaces that were made, and the files that travel with them.
#[derive(Default)]
pub(crate) struct Mounts {
    spaces: BTreeMap<NsId, Space>,
    /// What the mounts of each were numbered.
    ids: BTreeMap<NsId, BTreeSet<u32>>,
    /// Our own, where others were made.
    pub own: Option<OwnedFd>,
    pub files: Files,
    /// What could not be had, in words.
    pub notes: Vec<String>,
    /// Masters of pseudo terminals whose slaves are mounted somewhere.
    consoles: BTreeMap<ObjectId, OwnedFd>,
    /// All of them, where something in one of them shows a pid namespace that is still to be made: it is mounted then, and all mounts get
    /// into their groups.
    waiting: Mutex<BTreeMap<NsId, Built>>,
}

impl Mounts {
    /// Makes those of these namespaces that the stream describes.
    pub fn make(
        tree: &Tree,
        spaces: &[NsId],
        (options, around): (&RestoreOptions, Around<'_>),
        report: &mut dyn FnMut(String, Error),
    ) -> Self {
        let trees = spaces.iter().filter_map(|id| tree.get::<MountTree>(*id));
        let trees: Vec<&MountTree> = trees.collect();
        if trees.is_empty() {
            return Self::default();
        }
        let mut failed = false;
        let mut refuse = |object: String, error| {
            failed = true;
            report(object, error);
        };
        let made = make(tree, &trees, (options, around), &mut refuse);
        match made {
            Ok(made) if !failed => made,
            Ok(_) => Self::default(),
            Err(error) => {
                report("mnt namespace".into(), error);
                Self::default()
            }
        }
    }

    /// The root of a namespace that was made.
    pub fn top(&self, id: NsId) -> Option<&OwnedFd> {
        self.spaces.get(&id).map(|space| &space.top)
    }

    /// What the mounts of a namespace that was made were numbered.
    pub fn ids(&self, id: NsId) -> Option<&BTreeSet<u32>> {
        self.ids.get(&id)
    }

    /// The master of a pseudo terminal that had to be made early.
    pub fn console(&self, pty: ObjectId) -> Option<&OwnedFd> {
        self.consoles.get(&pty)
    }

    /// The namespaces.
    pub fn spaces(&self) -> impl Iterator<Item = (NsId, &OwnedFd)> {
        self.spaces.iter().map(|(id, space)| (*id, &space.space))
    }
}

fn make(
    tree: &Tree,
    trees: &[&MountTree],
    (options, around): (&RestoreOptions, Around<'_>),
    refuse: &mut dyn FnMut(String, Error),
) -> Result<Mounts> {
    let Around { cgroups, shown, users } = around;
    let mut bases = Bases::find(tree, trees, (options, cgroups, shown), refuse)?;
    let (workshop, problems) = Workshop::open(&bases.wanted())?;
    let mut failed = false;
    for (at, problem) in problems.into_iter().enumerate() {
        if let Some(problem) = problem {
            refuse(bases.describe(at), problem);
            failed = true;
        }
    }
    if failed {
        return Ok(Mounts::default());
    }
    let mut files = Files::default();
    for (dev, at, put) in bases.carried() {
        let base = workshop.base(at).and_then(|base| base.try_clone_to_owned().ok());
        let gone = || Error::because("make its files", "the file system is not there");
        if let Err(error) = files.make(tree, dev, base.ok_or_else(gone)?, put) {
            refuse(bases.describe(at), error);
            return Ok(Mounts::default());
        }
    }
    bases.put_removed(&workshop)?;
    let consoles = consoles::make(trees, &bases, &workshop)?;
    let late = procs::late(tree);
    let mut built = BTreeMap::new();
    for it in trees {
        let Some(wanted) = wanted(it, &bases, &late, refuse) else { continue };
        let made = owner(tree, it.id, users).map_err(|error| (0, error));
        match made.and_then(|owner| workshop.build(&wanted, owner)) {
            Ok(made) => drop(built.insert(it.id, made)),
            Err((id, error)) => {
                let at = it.mounts.iter().find(|mount| mount.id == id);
                let object = at.map_or("mnt namespace".into(), |at| format!("mount {}", at.point));
                refuse(object, error);
            }
        }
    }
    bases.remove_names()?;
    let waits = built.values().any(Built::waits);
    let mut notes = match waits {
        true => Vec::new(),
        false => groups(trees, &built, &options.outer.groups)?,
    };
    let of_users = |it: &&&MountTree| matches!(owner(tree, it.id, users), Ok(Some(_)));
    if trees.iter().any(|it| of_users(&it)) {
        let what = "the mount namespace of the user namespace: its mounts are not locked, and its file systems belong to the user namespace of restore";
        notes.push(what.to_owned());
    }
    files.keep(workshop);
    let spaces = built.iter().map(|(id, built)| Ok((*id, Space::of(built)?)));
    let spaces = spaces.collect::<Result<_>>()?;
    let waiting = Mutex::new(if waits { built } else { BTreeMap::new() });
    let path = "/proc/self/ns/mnt";
    let own = std::fs::File::open(path).map_err(|e| Error::new(format!("open {path}"), e))?;
    let ids = |it: &&MountTree| (it.id, it.mounts.iter().map(|mount| mount.id).collect());
    let ids = trees.iter().map(ids).collect();
    Ok(Mounts { spaces, ids, own: Some(own.into()), files, notes, consoles, waiting })
}

/// The user namespace that one of mounts is to belong to; `None` for our own.
fn owner<'o>(tree: &Tree, id: NsId, users: &'o Users<'_>) -> Result<Option<BorrowedFd<'o>>> {
    tree.get::<Namespace>(id).map_or(Ok(None), |was| users.owner(tree, was))
}

/// The mounts of a namespace.
fn wanted<'a>(
    tree: &'a MountTree,
    bases: &'a Bases<'_>,
    late: &BTreeMap<u64, NsId>,
    refuse: &mut dyn FnMut(String, Error),
) -> Option<Vec<Wanted<'a>>> {
    let by_id: BTreeMap<u32, &MountPoint> =
        tree.mounts.iter().map(|mount| (mount.id, mount)).collect();
    let mut all = Vec::with_capacity(tree.mounts.len());
    for mount in &tree.mounts {
        let (base, part) = match late.contains_key(&mount.dev) {
            true => (Shows::Late(mount.dev), mount.root.0.as_slice()),
            false => {
                let (base, part) = bases.of(tree.id, mount)?;
                (Shows::Base(base), part)
            }
        };
        let parent = by_id.get(&mount.parent);
        let point = parent.map_or(Some(&b""[..]), |parent| mount.below(parent));
        let Some((attributes, point)) = attributes(&mount.flags.0).zip(point) else {
            let doing = format!("set its options {}", mount.flags);
            refuse(format!("mount {}", mount.point), Error::because(doing, "one is not known"));
            return None;
        };
        let parent = parent.map(|parent| parent.id);
        all.push(Wanted { id: mount.id, parent, point, base, part, attributes });
    }
    Some(all)
}

/// What is opened of our own mount namespace before it is left for one of our own.
#[derive(Debug)]
pub struct Outer {
    /// Its root: files that the tree has opened there lie on its mounts.
    pub(crate) root: OwnedFd,
    /// The network namespace.
    pub(crate) net: OwnedFd,
    /// Members of the peer groups that mounts of the tree were in.
    groups: Outside,
}

impl Outer {
    /// Opens it.
    ///
    /// # Errors
    /// Those of opening the root and of reading /proc.
    pub fn open(tree: &Tree) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open("/", flags, Mode::empty()).map_err(|e| Error::new("open /", e))?;
        const NET: &str = "/proc/thread-self/ns/net";
        let net = open(NET, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let net = net.map_err(|e| Error::new(format!("open {NET}"), e))?;
        Ok(Self { root, net, groups: peer_groups(tree)? })
    }
}

fn peer_groups(tree: &Tree) -> Result<Outside> {
    let wanted = tree.all::<MountTree>().iter().flat_map(|tree| &tree.outside);
    let wanted: Vec<&OutsideGroup> = wanted.collect();
    let mut found = Outside::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let path = "/proc/self/mountinfo";
    let text = std::fs::read(path).map_err(|e| Error::new(format!("read {path}"), e))?;
    let own = mounts(&text);
    for group in wanted {
        let member = own.iter().rfind(|own| own.point == group.point.0 && own.peers.is_some());
        if let Some(place) = member.and_then(place) {
            found.insert(group.group, place);
        }
    }
    Ok(found)
}

/// Puts mounts into their peer groups.
fn groups(
    trees: &[&MountTree],
    built: &BTreeMap<NsId, Built>,
    outside: &Outside,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for tree in trees {
        for mount in &tree.mounts {
            names.push(format!("mount {}", mount.point));
        }
    }
    let mut members = Vec::new();
    let all = trees.iter().flat_map(|tree| tree.mounts.iter().map(move |mount| (tree, mount)));
    for ((tree, mount), name) in all.zip(&names) {
        let Some(there) = built.get(&tree.id) else { continue };
        let Some(top) = there.mounts.get(&mount.id) else { continue };
        members.push(Member {
            space: there.space.as_fd(),
            mount: top.as_fd(),
            name,
            root: &mount.root.0,
            peers: mount.peers,
            master: mount.master,
            unbindable: mount.unbindable,
        });
    }
    connect(&members, outside)
}
