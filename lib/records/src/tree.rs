//! All metadata of a stream: a typed table for each kind, and the relations between them.

use crate::{pid_spaces::PidSpaces, *};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeBounds,
    sync::OnceLock,
};

/// The records of one kind in the order of the stream, found by their keys.
#[derive(Clone, Debug)]
pub struct Table<T: Resource> {
    rows: Vec<T>,
    index: BTreeMap<T::Key, usize>,
}

impl<T: Resource> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: BTreeMap::new() }
    }
}

impl<T: Resource> Table<T> {
    /// Adds a row; false where there is one of that key.
    fn insert(&mut self, row: T) -> bool {
        let at = self.rows.len();
        match self.index.entry(row.key()) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(at);
                self.rows.push(row);
                true
            }
        }
    }

    /// The row of a key.
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.index.get(key).map(|at| &self.rows[*at])
    }

    /// All rows, in the order of the stream.
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// The rows whose keys lie in a range, by ascending key.
    pub fn range(&self, range: impl RangeBounds<T::Key>) -> impl DoubleEndedIterator<Item = &T> {
        self.index.range(range).map(|(_, at)| &self.rows[*at])
    }
}

/// A second record of a kind with the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicate(pub String);

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: it is there already", self.0)
    }
}

impl std::error::Error for Duplicate {}

macro_rules! tables {
    ($($scope:ident { $($module:ident: $type:ident $kind:literal $version:literal [$($phase:ident)*];)* })*) => {
        /// A table for each kind.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Tables {
            $($(pub $module: Table<$type>,)*)*
        }

        impl Tables {
            fn insert(&mut self, record: AnyRecord) -> Result<(), Duplicate> {
                match record {
                    $($(AnyRecord::$type(record) => {
                        let key = record.key();
                        let duplicate = || Duplicate(format!("{} {key:?}", stringify!($type)));
                        self.$module.insert(record).then_some(()).ok_or_else(duplicate)
                    })*)*
                }
            }

            fn clear(&mut self, kind: u16) {
                match kind {
                    $($($kind => self.$module = Table::default(),)*)*
                    _ => {}
                }
            }

            fn last_content(&mut self, kind: Kind) -> Option<&mut Vec<u8>> {
                match kind {
                    $($(Kind::$type => self.$module.rows.last_mut()?.content(),)*)*
                }
            }
        }
    };
}
resources!(tables);

/// The metadata of a stream.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub(crate) tables: Tables,
    relations: OnceLock<Relations>,
}

/// Who belongs to whom, found once.
#[derive(Clone, Debug, Default)]
struct Relations {
    children: BTreeMap<Pid, Vec<Pid>>,
    threads: BTreeMap<Pid, Vec<Tid>>,
    makers: BTreeSet<Tid>,
    /// Threads that files which are opened late are of.
    opened: BTreeSet<Tid>,
    /// Those that have something from a process before them, in the order of the stream.
    sharers: BTreeMap<(Share, Pid), Vec<Pid>>,
    holders: BTreeMap<FileId, (Pid, FdNum)>,
    /// Row of the first property of a kind that something has.
    properties: BTreeMap<(u16, Attached), usize>,
    groups: BTreeSet<u32>,
    /// Bytes of the regular files of file systems that travel.
    of_trees: BTreeMap<ObjectId, u64>,
    pids: PidSpaces,
}

impl Tree {
    /// Adds a record.
    pub fn insert(&mut self, record: AnyRecord) -> Result<(), Duplicate> {
        self.relations = OnceLock::new();
        self.tables.insert(record)
    }

    /// Where the content of the last record of a kind goes, for kinds that have content.
    pub fn last_content(&mut self, kind: Kind) -> Option<&mut Vec<u8>> {
        self.tables.last_content(kind)
    }

    /// The record of a kind with this key.
    pub fn get<T: Record>(&self, key: impl Into<T::Key>) -> Option<&T> {
        T::table(self).get(&key.into())
    }

    /// All records of a kind, in the order of the stream.
    pub fn all<T: Record>(&self) -> &[T] {
        T::table(self).rows()
    }

    /// The same tree with every record of a kind changed; its key must stay.
    pub fn map<T: Record>(mut self, change: impl FnMut(&mut T)) -> Result<Self, Duplicate> {
        let mut rows = T::table(&self).rows.clone();
        rows.iter_mut().for_each(change);
        self.tables.clear(T::KIND);
        rows.into_iter().try_for_each(|row| self.insert(row.any()))?;
        Ok(self)
    }

    /// The same tree with those records of a kind alone that are to stay.
    pub fn retain<T: Record>(mut self, keep: impl Fn(&T) -> bool) -> Result<Self, Duplicate> {
        let mut rows = T::table(&self).rows.clone();
        rows.retain(keep);
        self.tables.clear(T::KIND);
        rows.into_iter().try_for_each(|row| self.insert(row.any()))?;
        Ok(self)
    }

    /// The first record.
    pub fn begin(&self) -> Option<&Begin> {
        self.all::<Begin>().first()
    }

    /// Options of the whole.
    pub fn options(&self) -> Options {
        self.all::<Options>().first().cloned().unwrap_or_default()
    }

    /// The root of the tree.
    pub fn root(&self) -> Option<&Process> {
        self.all::<Process>().first()
    }

    /// The VMAs of a process, ascending.
    pub fn vmas(&self, pid: Pid) -> impl Iterator<Item = &Vma> {
        let keys = (pid, Addr(0))..=(pid, Addr(u64::MAX));
        Vmas::table(self).range(keys).flat_map(|some| &some.vmas)
    }

    /// The descriptors of a process, ascending.
    pub fn fds(&self, pid: Pid) -> impl Iterator<Item = &Fd> {
        let keys = (pid, FdNum(0))..=(pid, FdNum(u32::MAX));
        FdTable::table(self).range(keys).flat_map(|some| &some.fds)
    }

    /// One descriptor of a process.
    pub fn fd(&self, pid: Pid, fd: FdNum) -> Option<&Fd> {
        let some = FdTable::table(self).range((pid, FdNum(0))..=(pid, fd)).next_back()?;
        some.fds.binary_search_by_key(&fd, |fd| fd.fd).ok().map(|at| &some.fds[at])
    }

    fn relations(&self) -> &Relations {
        self.relations.get_or_init(|| {
            let mut found = Relations { pids: PidSpaces::of(self), ..Relations::default() };
            for p in self.all::<Process>().iter().skip(1) {
                found.children.entry(p.ppid).or_default().push(p.pid);
                found.makers.insert(p.maker);
            }
            for p in self.all::<Process>() {
                found.groups.extend([p.pid.0, p.pgid.0]);
                for share in Share::ALL {
                    let owner = p.shares.of(share);
                    if owner != p.pid {
                        found.sharers.entry((share, owner)).or_default().push(p.pid);
                    }
                }
                for fd in self.fds(p.pid) {
                    found.holders.entry(fd.file).or_insert((p.pid, fd.fd));
                }
            }
            for t in self.all::<Thread>() {
                found.groups.insert(t.tid.0);
                found.threads.entry(t.pid).or_default().push(t.tid);
            }
            let handle = |it: &Pidfd| match it.target {
                PidfdTarget::Thread(_, tid) => Some(tid),
                PidfdTarget::Process(_) | PidfdTarget::Ended(_) => None,
            };
            found.opened.extend(self.all::<Pidfd>().iter().filter_map(handle));
            found.opened.extend(self.all::<ProcFile>().iter().filter_map(ProcFile::thread));
            properties(self, &mut found.properties);
            for tree in self.all::<FileTree>() {
                let nodes = tree.files.iter().filter_map(|file| Some((file, file.what.as_ref()?)));
                let regular = nodes.filter(|(_, node)| node.kind.is_none());
                found.of_trees.extend(regular.map(|(file, node)| (tree.object(file), node.size)));
            }
            found
        })
    }

    pub(crate) fn pids(&self) -> &PidSpaces {
        &self.relations().pids
    }

    /// The children of a process, in the order of the stream.
    pub fn children(&self, pid: Pid) -> impl DoubleEndedIterator<Item = &Process> {
        let children = self.relations().children.get(&pid).map_or(&[][..], Vec::as_slice);
        children.iter().filter_map(|child| self.get::<Process>(*child))
    }

    /// The process that a process has something from, itself where it has its own.
    pub fn owner(&self, pid: Pid, share: Share) -> Pid {
        self.get::<Process>(pid).map_or(pid, |p| p.shares.of(share))
    }

    /// The processes that have something from this one, in the order of the stream.
    pub fn sharers(&self, share: Share, owner: Pid) -> &[Pid] {
        self.relations().sharers.get(&(share, owner)).map_or(&[], Vec::as_slice)
    }

    /// Whether a process of the tree is the child of this thread.
    pub fn is_maker(&self, tid: Tid) -> bool {
        self.relations().makers.contains(&tid)
    }

    /// Whether a file that is opened late is one of this thread: it must be there by then.
    pub fn is_opened(&self, tid: Tid) -> bool {
        self.relations().opened.contains(&tid)
    }

    /// What the parent of a process, where that is in the tree, would be told of it by wait(2).
    pub fn news(&self, pid: Pid) -> Option<&News> {
        let children = &self.get::<ProcessSignals>(self.get::<Process>(pid)?.ppid)?.children;
        let at = children.binary_search_by_key(&pid, |child| child.pid).ok()?;
        children.get(at).map(|child| &child.news)
    }

    /// The threads of a process, its leader first.
    pub fn threads(&self, pid: Pid) -> impl Iterator<Item = &Thread> {
        let threads = self.relations().threads.get(&pid).map_or(&[][..], Vec::as_slice);
        threads.iter().filter_map(|tid| self.get::<Thread>(*tid))
    }

    /// The first process that has an open file description, and its number there.
    pub fn holder(&self, id: FileId) -> Option<(Pid, FdNum)> {
        self.relations().holders.get(&id).copied()
    }

    /// The processes that are no zombies.
    pub fn living(&self) -> impl Iterator<Item = &Process> {
        self.all::<Process>().iter().filter(|p| !matches!(p.state, State::Zombie(_)))
    }

    /// Whether a process, process group or thread of the tree has this id.
    pub fn has_task(&self, id: u32) -> bool {
        self.relations().groups.contains(&id)
    }

    /// Bytes of a regular file that travels with its file system.
    pub fn size_in_tree(&self, id: ObjectId) -> Option<u64> {
        self.relations().of_trees.get(&id).copied()
    }

    /// An open file description as people know it.
    pub fn describe(&self, id: FileId) -> String {
        match self.holder(id) {
            Some((pid, fd)) => format!("fd {fd} of {pid}"),
            None => format!("open file {id}"),
        }
    }

    /// Process groups whose leader has ended, each with the first of its members, which may have ended as well, of those that are
    /// in the innermost pid namespace where it has a number. The group of the root may be one that lives on outside; it gets that of
    /// restore.
    pub fn lost_leaders(&self) -> Vec<(Pid, Pid)> {
        let outside = self.root().map(|root| root.pgid);
        let mut lost: BTreeMap<Pid, (usize, Pid)> = BTreeMap::new();
        for p in self.all::<Process>() {
            if self.get::<Process>(p.pgid).is_none() && Some(p.pgid) != outside {
                let names = self.names_from(self.pid_space(p.pid), p.pgid.0);
                let depth = names.map_or(0, |names| names.len());
                let best = lost.entry(p.pgid).or_insert((depth, p.pid));
                if depth > best.0 {
                    *best = (depth, p.pid);
                }
            }
        }
        lost.into_iter().map(|(group, (_, by))| (group, by)).collect()
    }

    /// The property of a kind that a descriptor, or the description behind it, has.
    pub fn attached<T: Record + Property>(&self, pid: Pid, fd: FdNum, file: FileId) -> Option<&T> {
        let found = &self.relations().properties;
        let either = [Attached::Description(file), Attached::Descriptor(pid, fd)];
        let row = either.iter().filter_map(|on| found.get(&(T::KIND, *on))).min()?;
        self.all::<T>().get(*row)
    }

    /// Where the paths of a process start: its mount namespace, and its root in it.
    pub fn place(&self, pid: Pid) -> Option<Place> {
        let mount = self.get::<Namespaces>(pid).map_or(NsId(0), |all| all.mnt);
        Some(Place { mount, root: self.get::<Fs>(pid)?.root.path.clone() })
    }
}

macro_rules! descriptors {
    (
        frame $frame:tt
        namespace $namespace:tt
        process $process:tt
        thread $thread:tt
        file $file:tt
        descriptor { $($module:ident: $type:ident $kind:literal $version:literal $phases:tt;)* }
        object $object:tt
        bulk $bulk:tt
    ) => {
        /// Finds every property of a descriptor or description.
        fn properties(tree: &Tree, found: &mut BTreeMap<(u16, Attached), usize>) {
            $(
                for (at, row) in tree.all::<$type>().iter().enumerate() {
                    found.entry(($kind, row.attached())).or_insert(at);
                }
            )*
        }
    };
}
resources!(descriptors);

/// What gives a path its meaning.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The mount namespace.
    pub mount: NsId,
    /// The root directory, from the root of that namespace.
    pub root: Bytes,
}
