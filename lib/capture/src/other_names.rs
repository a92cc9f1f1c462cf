//! Other names of files that have lost the one they were opened by, and that no look beside it has found.
//!
//! The kernel keeps no list of the names of a file. Where one is in its cache a handle leads to it (open_by_handle_at(2)); where
//! not, directories are read: those near the old name and around it, then all of the file system, as far as the process sees it.
//! That takes its time, so it is done once for all files of a file system, while the tree runs. What was found is kept for the later
//! looks of this run of the tool, which ask only whether the name still leads to the file.

use crate::{
    Result, on_mounts,
    path::{DELETED, Root, parent},
    walk::{File, Walk},
};
use floe_proc::Fdinfo;
use floe_sys::{handle_of, open_by_handle};
use floe_unions::Mount;
use nix::{
    fcntl::{AT_FDCWD, OFlag, open},
    sys::stat::{Mode, fstat},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a user can do about a descriptor of such a file.
pub(crate) const LINK: &str =
    "give it a name where the process can see it: ln -L /proc/PID/fd/N NAME";

/// How long the directories of a file system are read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file that has lost its name, and has another one.
pub(crate) struct Lost {
    /// Where /proc leads to it.
    pub at: PathBuf,
    /// Device and inode.
    pub file: File,
}

/// What is known of a file, and of the root directory that it is seen from.
#[derive(Default)]
struct Known {
    name: Option<Vec<u8>>,
    searched: Searched,
    wanted: Option<Wanted>,
}

/// How far the search went that has found nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Searched {
    #[default]
    No,
    /// Only where it costs nothing.
    Near,
    Everywhere,
    /// Not everywhere, for want of time.
    Late,
}

/// Who asks for a file, and where it is.
struct Wanted {
    pid: u32,
    at: PathBuf,
    /// A refusal depends on it.
    needed: bool,
}

/// The file, and the root directory of the process that has it.
type Key = (File, File);

static ALL: Mutex<BTreeMap<Key, Known>> = Mutex::new(BTreeMap::new());

fn all() -> MutexGuard<'static, BTreeMap<Key, Known>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name that a search has found, if it still leads to the file; as we see it.
pub(crate) fn known(root: &Root, dev: u64, ino: u64) -> Option<Vec<u8>> {
    let mut all = all();
    if all.is_empty() {
        return None;
    }
    let known = all.get_mut(&((dev, ino), root.inode()))?;
    let name = known.name.take()?;
    if root.leads_to(&name, dev, ino) {
        return known.name.insert(name).clone().into();
    }
    known.searched = Searched::No;
    None
}

/// Whether a search has found any.
pub(crate) fn some_are_known() -> bool {
    all().values().any(|known| known.name.is_some())
}

/// Asks for another name, if it costs nothing to find.
pub(crate) fn wish(root: &Root, lost: Lost) {
    let mut all = all();
    let known = all.entry((lost.file, root.inode())).or_default();
    if known.searched == Searched::No && known.wanted.is_none() {
        known.wanted = Some(Wanted { pid: root.pid(), at: lost.at, needed: false });
    }
}

/// Asks for another name of a file that is refused without one; gives why it is.
pub(crate) fn problem(root: &Root, lost: Lost) -> &'static str {
    let mut all = all();
    let known = all.entry((lost.file, root.inode())).or_default();
    match known.searched {
        Searched::No | Searched::Near => {
            known.wanted = Some(Wanted { pid: root.pid(), at: lost.at, needed: true });
            "it was removed, and has another name, which is not known"
        }
        Searched::Everywhere => {
            "it was removed, and has another name, which was not found on its file system where the process sees it"
        }
        Searched::Late => {
            "it was removed, and has another name, which was not found on its file system in 10 seconds"
        }
    }
}

/// What is said of a file that had one name, by its link in /proc, and comes back by another one in another directory; both as we
/// see them.
pub(crate) fn shown(link: &[u8], name: &[u8]) -> Option<String> {
    let was = link.strip_suffix(DELETED).filter(|was| parent(was) != parent(name))?;
    let (was, name) = (String::from_utf8_lossy(was), String::from_utf8_lossy(name));
    Some(format!("it has lost the name {was}: /proc will show the one that it has, {name}"))
}

/// Searches for what was asked for since. Whether there was anything.
pub(crate) fn search() -> bool {
    let mut roots: BTreeMap<File, Vec<(Key, Wanted)>> = BTreeMap::new();
    for (key, known) in all().iter_mut() {
        if let Some(wanted) = known.wanted.take() {
            roots.entry(key.1).or_default().push((*key, wanted));
        }
    }
    let any = !roots.is_empty();
    for (root, files) in roots {
        // Where a process is gone, the next look does not ask for its files any more.
        if let Ok(found) = below_root(&files) {
            let mut all = all();
            for (file, (name, searched)) in found {
                let known = all.entry((file, root)).or_default();
                (known.name, known.searched) = (name, searched);
            }
        }
    }
    any
}

/// What came of a search.
type Answers = BTreeMap<File, (Option<Vec<u8>>, Searched)>;

/// A file that is searched for.
struct Sought {
    file: File,
    open: OwnedFd,
    mount: u32,
    /// The last name that it had, as we see it.
    last: Vec<u8>,
    needed: bool,
}

impl Sought {
    /// `None` for what is another file by now, or has no name at all.
    fn of(key: Key, wanted: &Wanted) -> Option<Self> {
        let open = open(&wanted.at, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let stat = fstat(&open).ok()?;
        let mut last = link(&open)?;
        last.truncate(last.strip_suffix(DELETED).map_or(last.len(), <[u8]>::len));
        let same = (stat.st_dev, stat.st_ino) == key.0 && stat.st_nlink > 0;
        let mount = Fdinfo::of_own(open.as_fd()).ok()?.mnt_id;
        same.then_some(Self { file: key.0, open, mount, last, needed: wanted.needed })
    }
}

fn link(open: &OwnedFd) -> Option<Vec<u8>> {
    floe_proc::link(std::process::id(), &format!("fd/{}", open.as_raw_fd())).ok()
}

/// Searches for files of processes that have one root directory.
fn below_root(files: &[(Key, Wanted)]) -> Result<Answers> {
    let mut sought: Vec<Sought> =
        files.iter().filter_map(|(key, wanted)| Sought::of(*key, wanted)).collect();
    let mut answers = Answers::new();
    let Some((pid, root)) = files.iter().find_map(|(_, wanted)| {
        let pid = wanted.pid;
        Some((pid, Root::of(pid).ok()?))
    }) else {
        return Ok(answers);
    };
    let mounts = on_mounts::seen_by(pid, &root)?;
    let device = |sought: &Sought| {
        let mount = mounts.iter().find(|mount| mount.id == sought.mount);
        mount.map_or(sought.file.0, |mount| mount.dev)
    };
    let near = floe_proc::link(pid, "cwd").ok().filter(|cwd| cwd.starts_with(b"/"));
    while let Some(first) = sought.first() {
        let dev = device(first);
        let some = sought.extract_if(.., |sought| device(sought) == dev).collect();
        let search = Search { pid, root: &root, mounts: &mounts, dev };
        search.run(some, near.clone(), &mut answers)?;
    }
    Ok(answers)
}

/// The search on a file system.
struct Search<'a> {
    pid: u32,
    root: &'a Root,
    mounts: &'a [Mount],
    /// As mounts show it.
    dev: u64,
}

impl Search<'_> {
    fn mounts(&self) -> impl Iterator<Item = &Mount> + Clone + Send {
        self.mounts.iter().filter(|mount| mount.dev == self.dev)
    }

    fn run(&self, sought: Vec<Sought>, near: Option<Vec<u8>>, answers: &mut Answers) -> Result<()> {
        let mut found = self.by_handles(&sought)?;
        let left = |found: &BTreeMap<File, Vec<u8>>, it: &Sought| !found.contains_key(&it.file);
        let mut walked = Searched::Near;
        if sought.iter().any(|it| it.needed && left(&found, it)) {
            let wanted = sought.iter().filter(|it| it.needed && left(&found, it));
            let wanted = wanted.map(|it| it.file).collect();
            let around = sought.iter().filter(|it| left(&found, it));
            let around = around.filter_map(|it| parent(&it.last)).map(<[u8]>::to_vec);
            let (more, late) = self.by_walk(wanted, around.chain(near).collect())?;
            found.extend(more);
            walked = if late { Searched::Late } else { Searched::Everywhere };
        }
        for it in sought {
            let name = found.remove(&it.file);
            let searched = match name {
                Some(_) => Searched::No,
                None if it.needed => walked,
                None => Searched::Near,
            };
            answers.insert(it.file, (name, searched));
        }
        Ok(())
    }

    /// Where the kernel has a name in its cache. Needs CAP_DAC_READ_SEARCH.
    fn by_handles(&self, sought: &[Sought]) -> Result<BTreeMap<File, Vec<u8>>> {
        let mut found = BTreeMap::new();
        let handle = |it: &'_ Sought| Some((it.file, handle_of(it.open.as_fd()).ok()?));
        let handles: Vec<_> = sought.iter().filter_map(handle).collect();
        if handles.is_empty() {
            return Ok(found);
        }
        on_mounts::standing_on(self.root, self.mounts(), |_| {
            for (file, (kind, bytes)) in &handles {
                if found.contains_key(file) {
                    continue;
                }
                let path = open_by_handle(AT_FDCWD, *kind, bytes).ok();
                let path = path.and_then(|open| link(&open));
                let leads = |path: &Vec<u8>| {
                    self.is_of_use(path) && self.root.leads_to(path, file.0, file.1)
                };
                found.extend(path.filter(leads).map(|path| (*file, path)));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Gives also whether the time was over before the end.
    fn by_walk(
        &self,
        wanted: BTreeSet<File>,
        around: BTreeSet<Vec<u8>>,
    ) -> Result<(BTreeMap<File, Vec<u8>>, bool)> {
        let (mut devices, mut tops) = (BTreeSet::new(), Vec::new());
        for mount in self.mounts() {
            let Some(place) = on_mounts::place(self.root, mount)? else { continue };
            devices.extend(fstat(&place).ok().map(|stat| stat.st_dev));
            tops.push(&mount.point);
        }
        let points = self.mounts.iter().map(|mount| mount.point.clone()).collect();
        let until = Instant::now() + PATIENCE;
        let outside = self.sees_outside();
        let mut walk = Walk::new(self.root, (&devices, &points), outside, wanted, until);
        walk.around(around);
        tops.into_iter().for_each(|top| walk.below(top));
        let late = !walk.wanted.is_empty() && walk.is_late();
        Ok((walk.found, late))
    }

    /// Whether a path outside of the root of the process means the same to it as to us.
    fn sees_outside(&self) -> bool {
        let space = |pid| floe_proc::namespace(pid, "mnt").ok().flatten();
        let own = space(std::process::id());
        own.is_some() && own == space(self.pid)
    }

    fn is_of_use(&self, path: &[u8]) -> bool {
        !self.root.below(path.to_vec()).1 || self.sees_outside()
    }
}
