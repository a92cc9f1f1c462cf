//! Whether a file is the one that it was. Contents of files that have a name do not travel, so a program must find them as it
//! has left them. doc/restore.md has the rules for people.

use crate::{here::Here, options::RestoreOptions};
use floe_records::{
    Bytes, CarriedFile, Change, FileRef, MappedFile, MountPoint, MountTree, ObjectId, OnChange,
    OpenFile, Queue, Regular, TAIL, Tree,
};
use floe_sys::{Error, FileSystem, QueueAttributes, Result, read_before};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::{FileStat, Mode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Mutex, PoisonError},
};
use twox_hash::XxHash3_64;

const SECOND: i64 = 1_000_000_000;

/// A file that a name leads to.
pub(crate) struct Found {
    pub stat: FileStat,
    pub system: FileSystem,
}

impl Found {
    /// What a path-only descriptor leads to.
    pub fn of(path: &OwnedFd) -> Result<Self> {
        let stat = nix::sys::stat::fstat(path.as_fd());
        let stat = stat.map_err(|e| Error::new("read what it leads to", e))?;
        let system = system(stat.st_dev, || Ok(path.as_fd()))?;
        Ok(Self { stat, system })
    }

    /// What a path leads to, below the root of restore itself; mostly without opening it, which takes half of the time.
    pub fn at(path: &Path) -> Result<Self> {
        let fail = |e| Error::new(format!("open {}", path.display()), e);
        let stat = nix::sys::stat::stat(path).map_err(fail)?;
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let system = system(stat.st_dev, || open(path, flags, Mode::empty()).map_err(fail))?;
        Ok(Self { stat, system })
    }

    fn size(&self) -> u64 {
        self.stat.st_size as u64
    }

    fn mtime_ns(&self) -> i64 {
        self.stat.st_mtime * SECOND + self.stat.st_mtime_nsec
    }

    fn ctime_ns(&self) -> i64 {
        self.stat.st_ctime * SECOND + self.stat.st_ctime_nsec
    }
}

/// What kind of file system a file is on. A device has one, and trees have thousands of files on it.
fn system<F: AsFd>(dev: u64, path: impl FnOnce() -> Result<F>) -> Result<FileSystem> {
    static KNOWN: Mutex<BTreeMap<u64, FileSystem>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(system) = known.get(&dev) {
        return Ok(*system);
    }
    let system = floe_sys::file_system(path()?.as_fd())?;
    known.insert(dev, system);
    Ok(system)
}

/// What the name of a file leads to whose content travels.
pub(crate) enum Standing {
    /// The file as it was, or one that a restore has made.
    AsItWas,
    /// Another one, in whose place that of the image is to be put.
    Replaced,
    /// Another one, which is treated as if the content had not travelled.
    Another,
}

/// What is compared, and which changes are asked for.
pub(crate) struct Comparison {
    /// Devices, inode numbers and times of changed inodes mean what they meant: the system has not been started anew since, and
    /// paths begin where they began.
    numbers: bool,
    /// Mounts of the tree in whose place the user has put something else, where they mean nothing: ids and devices.
    replaced: (BTreeSet<u32>, BTreeSet<u64>),
    /// The first of it alone.
    same_boot: bool,
    rules: Vec<OnChange>,
    /// Files that are known to be right, by device and inode.
    known: BTreeSet<(u64, u64)>,
    /// File systems whose files were made.
    made: BTreeSet<u64>,
    /// Files whose contents travel, by what they were known by.
    carried: BTreeSet<ObjectId>,
}

impl Comparison {
    /// For a restore of this tree; the rules of the restore come behind those of the checkpoint.
    pub fn new(tree: &Tree, options: &RestoreOptions, here: &Here) -> Self {
        let (rules, same_boot) = (tree.options().on_change.into_iter(), here.is_same_boot(tree));
        Self {
            numbers: same_boot && options.root == Path::new("/"),
            replaced: replaced(tree, options),
            same_boot,
            rules: rules.chain(options.on_change.iter().cloned()).collect(),
            known: BTreeSet::new(),
            made: BTreeSet::new(),
            carried: names_of_carried(tree),
        }
    }

    fn numbers(&self, name: &FileRef) -> bool {
        let (ids, devices) = &self.replaced;
        let replaced = match name.mnt_id {
            Some(id) => ids.contains(&id),
            None => devices.contains(&name.dev),
        };
        self.numbers && !replaced
    }

    /// Whether the system has not been started anew since.
    pub fn is_same_boot(&self) -> bool {
        self.same_boot
    }

    /// A file is as it was, whatever else tells of it.
    pub fn know(&mut self, found: &Found) {
        self.known.insert((found.stat.st_dev, found.stat.st_ino));
    }

    /// All files of a device are as they were.
    pub fn know_device(&mut self, dev: u64) {
        self.made.insert(dev);
    }

    fn knows(&self, found: &Found) -> bool {
        self.made.contains(&found.stat.st_dev)
            || self.known.contains(&(found.stat.st_dev, found.stat.st_ino))
    }

    /// Whether a name leads to the file whose content travels. One that a restore has made has another inode.
    pub fn carried(&self, was: &CarriedFile, name: &FileRef, found: &Found) -> Standing {
        let (sec, nsec) = was.times[1];
        let mtime_ns = sec.saturating_mul(SECOND).saturating_add(nsec.into());
        if found.size() == was.size && found.mtime_ns() == mtime_ns {
            return Standing::AsItWas;
        }
        match self.rule(&name.path) {
            Some(Change::Carry) => Standing::Replaced,
            _ => Standing::Another,
        }
    }

    /// Whether a file is not to be made, though its content has travelled.
    pub fn must_be_there(&self, name: &Bytes) -> bool {
        self.rule(name) == Some(Change::Refuse)
    }

    /// What is wrong with a file that has changed; `rule` would take it.
    fn changed(&self, name: &FileRef, what: &str, rule: &str) -> Error {
        let carried = self.carried.contains(&name.object());
        let other =
            if carried { ", or put that of the image there with --on-change carry" } else { "" };
        changed(&name.path, what, rule, other)
    }

    /// Whether the message queue of a name is the one that had it, and nothing has come or gone since. Only whole seconds of that
    /// are known, so messages are counted too. One that a restore has made in its place is as it was, but empty.
    pub fn queue(&self, was: &Queue, found: &FileStat, now: QueueAttributes) -> Result<()> {
        let rule = self.rule(&was.name);
        if rule == Some(Change::Accept) {
            return Ok(());
        }
        let same = self.same_boot && (found.st_dev, found.st_ino) == (was.id.dev, was.id.ino);
        let size = (now.max_messages, now.message_size) == (was.max_messages, was.message_size);
        let owner = (found.st_uid, found.st_gid, found.st_mode & 0o7777);
        let like = size && (same || owner == (was.uid, was.gid, was.mode));
        let many = now.messages == was.messages || !same && now.messages == 0;
        if like && many && found.st_mtime == was.times[1].0 {
            return Ok(());
        }
        if !like || self.same_boot && !same {
            return Err(changed(
                &was.name,
                "another message queue has that name by now",
                "accept",
                "",
            ));
        }
        let grown = now.messages >= was.messages;
        if grown && rule == Some(Change::Append) {
            return Ok(());
        }
        let what = format!(
            "messages were sent or received since: it had {} and has {} now",
            was.messages, now.messages
        );
        Err(changed(&was.name, &what, if grown { "append" } else { "accept" }, ""))
    }

    fn rule(&self, name: &Bytes) -> Option<Change> {
        OnChange::of(&self.rules, &name.0)
    }

    /// Whether a name leads to the file that it led to.
    pub fn inode(&self, name: &FileRef, found: &Found) -> Result<()> {
        let tells = matches!(found.system, FileSystem::Local | FileSystem::Network);
        let now = (found.stat.st_dev, found.stat.st_ino);
        if !self.numbers(name) || !tells || now == (name.dev, name.ino) || self.knows(found) {
            return Ok(());
        }
        if self.rule(&name.path) == Some(Change::Accept) {
            return Ok(());
        }
        let what = format!(
            "another file has that name by now (inode {} of device {:#x}, and it was {} of {:#x})",
            now.1, now.0, name.ino, name.dev
        );
        Err(self.changed(name, &what, "accept"))
    }

    /// Whether a time of change is the same. Archives keep whole seconds only, and a server has its own time.
    fn same_time(&self, name: &FileRef, was_ns: i64, found: &Found) -> bool {
        let now = found.mtime_ns();
        let whole = !self.numbers(name) && now % SECOND == 0 && now / SECOND == was_ns / SECOND;
        found.system == FileSystem::Network || was_ns == now || whole
    }

    /// Whether the content of an open file is as it was. `again` opens the file for reading.
    pub fn content(
        &self,
        was: &Regular,
        open: &OpenFile,
        found: &Found,
        again: impl FnOnce() -> Result<OwnedFd>,
    ) -> Result<()> {
        if found.system == FileSystem::Kernel || self.knows(found) {
            return Ok(());
        }
        let untouched = !self.numbers(&was.name)
            || found.system != FileSystem::Local
            || found.ctime_ns() == was.ctime_ns;
        let same = found.size() == was.size && self.same_time(&was.name, was.mtime_ns, found);
        // Of a file that a server times the size and the end must do.
        let ends = found.system == FileSystem::Network && was.tail.is_some();
        if same && untouched && !ends {
            return Ok(());
        }
        let rule = self.rule(&was.name.path);
        if rule == Some(Change::Accept) {
            return Ok(());
        }
        let as_it_was = found.size() >= was.size && has_tail(was, again)?;
        if same && untouched && as_it_was {
            return Ok(());
        }
        let grown = as_it_was && found.size() > was.size;
        // What is only read and has only grown is what any reader of a log must live with.
        let reader = rule.is_none() && grown && !open.writes();
        if reader || (rule == Some(Change::Append) && as_it_was) {
            return Ok(());
        }
        let what = if found.size() != was.size {
            format!("it had {} bytes and has {} now", was.size, found.size())
        } else if same {
            "its inode was changed since (ctime)".to_owned()
        } else {
            "its content was changed since".to_owned()
        };
        Err(self.changed(&was.name, &what, if grown { "append" } else { "accept" }))
    }

    /// Whether a file that is mapped or run is the one that it was: code goes on in the midst of it. A build id tells more than
    /// an inode: another copy of the same build is as good, unless somebody may write to it.
    pub fn mapped(
        &self,
        name: &FileRef,
        known: Option<&MappedFile>,
        written: bool,
        found: &Found,
        open: &OwnedFd,
    ) -> Result<()> {
        let build = known.and_then(|known| known.build_id.as_ref());
        if build.is_none() || written {
            self.inode(name, found)?;
        }
        let Some(known) =
            known.filter(|_| found.system != FileSystem::Kernel && !self.knows(found))
        else {
            return Ok(());
        };
        if self.rule(&name.path) == Some(Change::Accept) {
            return Ok(());
        }
        if found.size() != known.size {
            let what = format!("its size was {} and is {} now", known.size, found.size());
            return Err(self.changed(name, &what, "accept"));
        }
        match build {
            Some(was) => self.same_build(name, &was.0, open),
            None if self.same_time(name, known.mtime_ns, found) => Ok(()),
            None => Err(self.changed(name, "its content was changed since", "accept")),
        }
    }

    fn same_build(&self, name: &FileRef, was: &[u8], open: &OwnedFd) -> Result<()> {
        let fail = |e| Error::new(format!("read {}", name.path), e);
        let mut head = Vec::new();
        let file = File::from(open.try_clone().map_err(fail)?);
        file.take(floe_elf::HEAD).read_to_end(&mut head).map_err(fail)?;
        let now = floe_elf::build_id(&head);
        if now.as_deref() == Some(was) {
            return Ok(());
        }
        let hex = |id: &[u8]| id.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let now = now.map_or_else(|| "none".to_owned(), |id| hex(&id));
        let what = format!("its build id was {} and is {now} now", hex(was));
        Err(self.changed(name, &what, "accept"))
    }
}

/// What is wrong with what a name leads to; `rule` would take it, and so would what `other` says.
fn changed(name: &Bytes, what: &str, rule: &str, other: &str) -> Error {
    let hint = format!("take it as it is with --on-change {rule}:{name}{other}");
    Error::because(format!("open {name}"), format!("{what} ({hint})"))
}

/// Whether what stands in front of its old end is what stood there.
fn has_tail(was: &Regular, again: impl FnOnce() -> Result<OwnedFd>) -> Result<bool> {
    let Some(tail) = was.tail else { return Ok(false) };
    let file = File::from(again()?);
    Ok(XxHash3_64::oneshot(&read_before(&file, was.size, TAIL)?) == tail)
}

/// What `--external` has taken the place of.
fn replaced(tree: &Tree, options: &RestoreOptions) -> (BTreeSet<u32>, BTreeSet<u64>) {
    let mounts = tree.all::<MountTree>().iter().flat_map(|tree| &tree.mounts);
    let given =
        |mount: &&MountPoint| options.external.iter().any(|(point, _)| *point == mount.point.0);
    mounts.filter(given).map(|mount| (mount.id, mount.dev)).unzip()
}

/// What files are known by whose contents travel.
fn names_of_carried(tree: &Tree) -> BTreeSet<ObjectId> {
    let names = tree.all::<CarriedFile>().iter().flat_map(|carried| &carried.names);
    names.map(|name| name.file.object()).collect()
}
