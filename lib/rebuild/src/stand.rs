//! Where paths of the tree are looked up: below the root of the process that they belong to.

mod directories;

use crate::{
    cgroups::Cgroups,
    mounts::{Around, Mounts, Outer},
    options::RestoreOptions,
    removed::{Made, RemovedNodes},
    same::{Comparison, Found},
    spaces::Spaces,
    users::Users,
};
use directories::{Tops, all_directories, removed_nodes};
use floe_netlock::Held;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sched::{CloneFlags, setns, unshare},
    sys::stat::{Mode, SFlag, fstat},
    unistd::{chroot, fchdir},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Root and working directory of a process.
pub(crate) struct Directories {
    /// `None` where the root is that of restore itself.
    pub root: Option<OwnedFd>,
    pub cwd: OwnedFd,
}

/// Where the processes of a tree stand: in which namespaces, below which root, in which directory. A path or an address means
/// something only there, so that is where files and sockets are opened and made.
pub(crate) struct Stands<'a> {
    spaces: Spaces<'a>,
    /// How files are known again.
    pub same: Comparison,
    members: BTreeMap<Pid, Namespaces>,
    /// What stands for the root of the mount namespace, where that is not our own.
    top: Option<OwnedFd>,
    /// Our own mount namespace, as it was before we have left it.
    pub outer: &'a Outer,
    /// Mount namespaces that were made.
    pub mounts: Mounts,
    /// Root directories that are not that of their namespace, as paths in it.
    roots: BTreeMap<Pid, Bytes>,
    /// Processes with the same ones share them: each of them would be closed in every stub.
    all: BTreeMap<Pid, Arc<Directories>>,
    /// Where files are for now whose contents are still to come, by what they were known by.
    elsewhere: BTreeMap<(ObjectId, Bytes), Bytes>,
    /// What no name leads to.
    removed: RemovedNodes,
}

/// What was made for mount namespaces is known from here on: the namespaces, and files that travel.
fn know(mounts: &Mounts, spaces: &mut Spaces<'_>, same: &mut Comparison) -> Result<()> {
    for (id, space) in mounts.spaces() {
        let kept = space.try_clone().map_err(|e| Error::new("keep a namespace", e))?;
        spaces.set_made(id, kept);
    }
    mounts.files.devices().for_each(|dev| same.know_device(dev));
    let unpacked = mounts.files.unpacked().filter_map(|file| Found::of(&file.ok()?).ok());
    unpacked.for_each(|found| same.know(&found));
    Ok(())
}

impl<'a> Stands<'a> {
    /// The lock over connections in a network namespace that restore has made.
    pub fn take_lock(&mut self, net: NsId) -> Option<Held> {
        self.spaces.locks.remove(&net)
    }

    /// What namespaces have otherwise than they had it.
    pub fn notes(&self) -> &[String] {
        &self.spaces.notes
    }

    /// Finds all.
    pub fn find(
        tree: &'a Tree,
        (options, cgroups, users): (&'a RestoreOptions, &mut Cgroups, Users<'a>),
        report: &mut dyn FnMut(Pid, String, Error),
    ) -> Self {
        let root = tree.root().map_or(Pid(0), |p| p.pid);
        let mut spaces = Spaces::new(tree, options, (std::mem::take(&mut cgroups.spaces), users));
        crate::resource::stand(tree, &mut spaces, &mut |error| {
            report(root, "namespace".into(), error);
        });
        let mut same = Comparison::new(tree, options, &options.here);
        let mut failed = false;
        let mut refuse = |object, error| {
            failed = true;
            report(root, object, error);
        };
        let mounts = Mounts::make(
            tree,
            spaces.to_make(),
            (options, Around { cgroups, shown: spaces.shown(tree), users: &spaces.users }),
            &mut refuse,
        );
        if let Err(e) = know(&mounts, &mut spaces, &mut same) {
            report(root, "namespace".into(), e);
        }
        let top = top(options).unwrap_or_else(|error| {
            report(root, "root".into(), error);
            None
        });
        let tops = Tops { tree, own: top.as_ref(), mounts: &mounts };
        let removed = removed_nodes(tops, &spaces.users).unwrap_or_else(|error| {
            report(root, "what was removed".into(), error);
            RemovedNodes::default()
        });
        for found in removed.made.values().filter_map(|made| Found::of(&made.path).ok()) {
            same.know(&found);
        }
        // Without its mounts nothing is where it was.
        let all = match failed {
            true => BTreeMap::new(),
            false => all_directories(tree, tops, &same, &removed, report),
        };
        let members = tree.all::<Namespaces>().iter().map(|all| (all.pid, all.clone())).collect();
        let inner = |fs: &&Fs| fs.root.path.0 != b"/";
        let roots = tree.all::<Fs>().iter().filter(inner);
        let roots = roots.map(|fs| (fs.pid, fs.root.path.clone())).collect();
        Self {
            spaces,
            same,
            members,
            top,
            outer: &options.outer,
            mounts,
            roots,
            all,
            elsewhere: BTreeMap::new(),
            removed,
        }
    }

    /// Of a process.
    pub fn of(&self, pid: Pid) -> Result<&Directories> {
        let gone = || Error::because("find its directories", "they are not in the stream");
        self.all.get(&pid).map(AsRef::as_ref).ok_or_else(|| gone().pid(pid.0))
    }

    /// What ids are called where a process is, in a user namespace that restore has made.
    pub fn maps<'t>(&self, tree: &'t Tree, pid: Pid) -> Option<&'t IdMaps> {
        tree.id_maps(pid).filter(|maps| self.spaces.users.space(maps.id).is_some())
    }

    /// A user namespace that was made.
    pub fn user_space(&self, id: NsId) -> Option<BorrowedFd<'_>> {
        self.spaces.users.space(id)
    }

    /// What the name of a file leads to, a symbolic link itself where it is one.
    pub fn named(&self, pid: Pid, name: &FileRef) -> Result<(OwnedFd, Found)> {
        let path = self.path(pid, name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let found = Found::of(&path)?;
        Ok((path, found))
    }

    /// What the name of a file leads to, which must be of this type. Nothing is opened yet: what has taken the place of the
    /// file may be something that waits for a reader, or that does something when it is opened.
    pub fn found(&self, pid: Pid, name: &FileRef, kind: SFlag) -> Result<Found> {
        let (root, path) = self.place(pid, name)?;
        let found = match root {
            _ if name.deleted => Found::of(&self.removed(name)?.path)?,
            Some(root) => Found::of(&lookup(Some(root), &path, OFlag::O_PATH)?)?,
            None => Found::at(Path::new(OsStr::from_bytes(&path.0)))?,
        };
        if SFlag::from_bits_truncate(found.stat.st_mode) & SFlag::S_IFMT != kind {
            let doing = format!("open {}", name.path);
            return Err(Error::because(doing, "it is of another kind now"));
        }
        Ok(found)
    }

    /// Opens what was found.
    pub fn open(&self, pid: Pid, name: &FileRef, found: &Found, flags: OFlag) -> Result<OwnedFd> {
        let fd = self.path(pid, name, flags)?;
        let stat = fstat(&fd).map_err(|e| Error::new(format!("read {}", name.path), e))?;
        if (stat.st_dev, stat.st_ino) == (found.stat.st_dev, found.stat.st_ino) {
            return Ok(fd);
        }
        Err(Error::because(format!("open {}", name.path), "its name was given to another file"))
    }

    /// Opens what the name of a file leads to.
    pub fn path(&self, pid: Pid, name: &FileRef, flags: OFlag) -> Result<OwnedFd> {
        if name.deleted {
            return self.removed(name)?.open(flags);
        }
        let (root, path) = self.place(pid, name)?;
        lookup(root, &path, flags)
    }

    /// What no name leads to any more, and is no regular file.
    pub fn removed(&self, name: &FileRef) -> Result<&Made> {
        let gone = || Error::because(format!("open {} (deleted)", name.path), "it was not made");
        self.removed.made.get(&name.object()).ok_or_else(gone)
    }

    /// All processes stand where they did.
    pub fn are_entered(&self) {
        self.removed.are_entered();
    }

    /// Has a file opened by another name for now.
    pub fn redirect(&mut self, name: &FileRef, path: Bytes) {
        self.elsewhere.insert((name.object(), name.path.clone()), path);
    }

    /// Whether a file is made by restore.
    pub fn is_redirected(&self, name: &FileRef) -> bool {
        self.elsewhere(name).is_some()
    }

    /// By which name a file is opened.
    fn now<'n>(&'n self, name: &'n FileRef) -> &'n Bytes {
        self.elsewhere(name).unwrap_or(&name.path)
    }

    fn elsewhere(&self, name: &FileRef) -> Option<&Bytes> {
        if self.elsewhere.is_empty() {
            return None;
        }
        self.elsewhere.get(&(name.object(), name.path.clone()))
    }

    /// Where a name is looked up: below which root, and as which path.
    fn place<'n>(
        &'n self,
        pid: Pid,
        name: &'n FileRef,
    ) -> Result<(Option<&'n OwnedFd>, Cow<'n, Bytes>)> {
        let path = Cow::Borrowed(self.now(name));
        if self.is_ours(pid, name) {
            let inner = self.roots.get(&pid).filter(|_| !name.outside);
            let full = inner.map(|root| Bytes([&root.0[..], &path.0].concat()));
            return Ok((Some(&self.outer.root), full.map_or(path, Cow::Owned)));
        }
        let root = if name.outside { self.top(pid) } else { self.of(pid)?.root.as_ref() };
        Ok((root, path))
    }

    /// Whether a file was opened in the mount namespace of freeze, by a process that is in another one: it lies on none of the
    /// mounts of that.
    fn is_ours(&self, pid: Pid, name: &FileRef) -> bool {
        let made = self.members.get(&pid).and_then(|members| self.mounts.ids(members.mnt));
        made.zip(name.mnt_id).is_some_and(|(made, id)| !made.contains(&id))
    }

    /// The root of the mount namespace of a process, where that is not our own.
    fn top(&self, pid: Pid) -> Option<&OwnedFd> {
        let made = self.members.get(&pid).and_then(|members| self.mounts.top(members.mnt));
        made.or(self.top.as_ref())
    }

    /// The namespaces that a process enters which is born where another one is, or for `None` where restore is.
    pub fn entered(
        &self,
        pid: Pid,
        born: Option<Pid>,
    ) -> Result<Vec<(BorrowedFd<'_>, CloneFlags)>> {
        let Some(members) = self.members.get(&pid) else { return Ok(Vec::new()) };
        let born = born.and_then(|born| self.members.get(&born));
        let all = self.spaces.entered(members, born)?.into_iter();
        let own = self.mounts.own.as_ref().map(AsFd::as_fd);
        let own = |kind| own.filter(|_| kind == NsKind::Mnt);
        Ok(all.filter_map(|(space, kind, flag)| Some((space.or(own(kind))?, flag))).collect())
    }

    /// Opens a path as a process would.
    pub fn bytes(&self, pid: Pid, path: &Bytes, flags: OFlag) -> Result<OwnedFd> {
        lookup(self.of(pid)?.root.as_ref(), path, flags)
    }

    /// The root of the tree, and the first process of each mount namespace that was made for another.
    pub fn spaces_of(&self, tree: &Tree) -> Vec<Pid> {
        let mut seen = BTreeSet::new();
        let space = |pid: Pid| self.members.get(&pid).map(|members| members.mnt);
        let all = tree.living().map(|p| p.pid);
        let mut first: Vec<Pid> = all.filter(|pid| seen.insert(space(*pid))).collect();
        if self.mounts.own.is_none() {
            first.truncate(1);
        }
        first
    }

    /// Does something where a process stands: in a thread of its own, which enters its namespaces, its root, and its
    /// working directory.
    pub fn within<T: Send>(&self, pid: Pid, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.within_network(pid, None, work)
    }

    /// The same, in another network namespace.
    pub fn within_network<T: Send>(
        &self,
        pid: Pid,
        net: Option<NsId>,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let place = self.of(pid)?;
        floe_sys::apart("work where it stands", || {
            self.enter(pid, net, place)?;
            work()
        })
    }

    /// Does something in a network namespace, and else where restore is.
    pub fn in_network<T: Send>(
        &self,
        net: NsId,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let Some(space) = self.spaces.of(net)? else { return work() };
        floe_sys::apart_in(space.as_fd(), "network", work)
    }

    /// Does something in the IPC namespace that a device shows, where that is not the one which restore is in.
    pub fn in_ipc<T: Send>(&self, dev: u64, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(space) = self.spaces.shown_ipc(dev)? else { return work() };
        floe_sys::apart_in(space.as_fd(), "IPC", work)
    }

    /// Whether the IPC namespace that a device shows is made beside the one that restore is in, and goes with restore if that fails.
    pub fn is_other_ipc(&self, dev: u64) -> bool {
        self.spaces.shown_ipc(dev).is_ok_and(|space| space.is_some())
    }

    /// Moves the calling thread there, for good.
    fn enter(&self, pid: Pid, net: Option<NsId>, place: &Directories) -> Result<()> {
        let fail = |e: Errno| Error::new("go where it stands", e).pid(pid.0);
        unshare(CloneFlags::CLONE_FS).map_err(fail)?;
        if let Some(members) = self.members.get(&pid) {
            // What a thread can enter; of the others only processes are members.
            for id in [members.mnt, net.unwrap_or(members.net), members.ipc, members.uts] {
                if let Some(space) = self.spaces.of(id)? {
                    setns(space, CloneFlags::empty()).map_err(fail)?;
                }
            }
        }
        if let Some(root) = &place.root {
            fchdir(root).and_then(|()| chroot(".")).map_err(fail)?;
        }
        fchdir(&place.cwd).map_err(fail)
    }
}

/// What stands for the root of a mount namespace that is not made again; `None` for our own.
fn top(options: &RestoreOptions) -> Result<Option<OwnedFd>> {
    match &options.top {
        Some(top) => top.try_clone().map(Some).map_err(|e| Error::new("keep a root", e)),
        None => opened(&options.root),
    }
}

/// `None` for our own root.
fn opened(top: &Path) -> Result<Option<OwnedFd>> {
    if top == Path::new("/") {
        return Ok(None);
    }
    let fail = |e| Error::new(format!("open {}", top.display()), e);
    open(top, DIRECTORY, Mode::empty()).map(Some).map_err(fail)
}

/// The directory that stands for the root of a tree which had a pid namespace of its own and was in the mount namespace that restore is
/// started in: it stays there, while restore needs mounts of its own, with another /proc.
///
/// # Errors
/// Where it cannot be opened.
pub fn common_top(tree: &Tree, root: &Path, told: &[NsKind]) -> Result<Option<Arc<OwnedFd>>> {
    const INIT: Pid = Pid(1);
    let Some(members) = tree.get::<Namespaces>(INIT) else { return Ok(None) };
    let inherited = |id: NsId| tree.get::<Namespace>(id).is_some_and(|space| space.inherited);
    let is_told = [NsKind::Pid, NsKind::Mnt].iter().any(|kind| told.contains(kind));
    if is_told || inherited(members.pid_ns) || !inherited(members.mnt) {
        return Ok(None);
    }
    let fail = |e| Error::new(format!("open {}", root.display()), e);
    open(root, DIRECTORY, Mode::empty()).map(|top| Some(Arc::new(top))).map_err(fail)
}

/// Opens a path below a root, out of which no symbolic link leads.
fn lookup(root: Option<&OwnedFd>, path: &Bytes, flags: OFlag) -> Result<OwnedFd> {
    let fail = |e| Error::new(format!("open {path}"), e);
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let name = Path::new(OsStr::from_bytes(&path.0));
    match root {
        None => open(name, flags, Mode::empty()).map_err(fail),
        Some(root) => {
            // openat2(2) is strict: next to O_PATH few flags may stand.
            let few = DIRECTORY | OFlag::O_NOFOLLOW;
            let flags = if flags.contains(OFlag::O_PATH) { flags & few } else { flags };
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            openat2(root.as_fd(), name, how).map_err(fail)
        }
    }
}
