//! Which descriptors lead to the same open file description, as kcmp(2) tells.
//!
//! kcmp(2) puts descriptions in an order, so each is found among thousands by a search in halves. The same is asked three times: of
//! processes that run, again when they stand still, and by `dumpfs`. Only the first time takes all those calls. The second time
//! descriptors that were told apart before are believed to be still, and each list is checked once from end to end: the order has not
//! changed if nothing has. The third time everything has stood still since.
//!
//! None of these calls is needed for a table that a program in the kernel has read: that tells descriptions by their places. They are
//! put into lists only when a descriptor comes of which that is not told.

use crate::{descriptor_of::Descriptor, parallel};
use floe_records::{FdNum, FdTable, FileId, Pid};
use floe_sys::{Result, kcmp_file};
use rustc_hash::FxHashMap;
use std::{cmp::Ordering, collections::BTreeMap};

/// What duplicates of a descriptor have in common: mount, inode, and what tells kernel objects of one inode apart.
type Key = (u32, u64, Vec<u8>);

/// Where the descriptions of descriptors stood in the order of kcmp(2), each among those with the same key.
#[derive(Clone, Default, Debug)]
pub struct Ranks(FxHashMap<(Pid, FdNum), u32>);

/// Descriptors with one key from which on they are told apart beside others.
const MANY: usize = 32;

/// What was told of a descriptor before it is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Told {
    Nothing,
    /// Where it stood, when the processes ran.
    Rank(u32),
    /// The same number as all others of its description have, and none else.
    Same(u64),
}

/// A description and where it was first seen.
#[derive(Clone, Copy)]
struct Seen {
    /// The process in whose table it is.
    pid: u32,
    fd: u32,
    id: FileId,
    told: Told,
}

impl Seen {
    fn of(seen: &Descriptor<'_>, id: FileId, told: Told) -> Self {
        Self { pid: seen.table(), fd: seen.fd, id, told }
    }

    fn compare(&self, pid: u32, fd: u32) -> Result<Ordering> {
        kcmp_file(self.pid as i32, self.fd as i32, pid as i32, fd as i32)
    }
}

/// Descriptions with the same key.
struct List {
    all: Vec<Seen>,
    /// They are in the order of kcmp(2).
    sorted: bool,
    /// Something was told of each of them.
    told: bool,
    /// Those of which something was told, by that.
    by_told: FxHashMap<Told, Seen>,
    /// What was told is not so.
    wrong: bool,
}

/// All descriptions that have been seen.
#[derive(Default)]
pub(crate) struct Known {
    lists: FxHashMap<Key, List>,
    ranks: Ranks,
    /// As long as nothing else has come: those that are told by a number that all descriptors of a description have, and none else.
    same: FxHashMap<u64, FileId>,
    /// These, by their keys, for the lists.
    unlisted: Vec<(Key, Seen)>,
}

impl Known {
    /// `ranks`: what is known from when the processes ran.
    pub fn new(ranks: Ranks) -> Self {
        Self { ranks, ..Self::default() }
    }

    /// The description of a descriptor, if another one has led to it; else where it is to be added.
    pub fn find(&mut self, seen: &Descriptor<'_>) -> Result<(Option<FileId>, usize)> {
        let told = self.told(seen);
        if let (Told::Same(number), true) = (told, self.lists.is_empty()) {
            return Ok((self.same.get(&number).copied(), 0));
        }
        self.list_all();
        self.lists.entry(key(seen)).or_default().find(seen, told)
    }

    /// Adds the description of a descriptor where [`Known::find`] has said.
    pub fn add(&mut self, seen: &Descriptor<'_>, id: FileId, at: usize) {
        let told = self.told(seen);
        if let (Told::Same(number), true) = (told, self.lists.is_empty()) {
            self.add_unlisted(number, seen, id);
            return;
        }
        self.lists.entry(key(seen)).or_default().add(Seen::of(seen, id, told), at);
    }

    fn add_unlisted(&mut self, number: u64, seen: &Descriptor<'_>, id: FileId) {
        self.same.insert(number, id);
        self.unlisted.push((key(seen), Seen::of(seen, id, Told::Same(number))));
    }

    /// From here on it takes keys to find them.
    fn list_all(&mut self) {
        for (key, seen) in self.unlisted.drain(..) {
            let list = self.lists.entry(key).or_default();
            let end = list.all.len();
            list.add(seen, end);
        }
        self.same.clear();
    }

    /// [`Known::find_all`], where a number is told of each and of all before; else `None`.
    fn find_same(&mut self, all: &[Descriptor<'_>], next: u32) -> Option<Vec<FileId>> {
        let number = |seen: &Descriptor<'_>| match seen.same() {
            Told::Same(number) => Some(number),
            Told::Rank(_) | Told::Nothing => None,
        };
        let told = all.iter().map(number).collect::<Option<Vec<u64>>>();
        let numbers = told.filter(|_| self.lists.is_empty())?;
        let mut last = next;
        let find = |(seen, number): (&Descriptor<'_>, u64)| {
            if let Some(old) = self.same.get(&number) {
                return *old;
            }
            let new = FileId(last);
            last += 1;
            self.add_unlisted(number, seen, new);
            new
        };
        Some(all.iter().zip(numbers).map(find).collect())
    }

    /// The descriptions of descriptors, in their order; those that nothing has led to are added, and counted from `next` on. Where
    /// descriptors cannot be told apart, nothing is added.
    pub fn find_all(&mut self, all: &[Descriptor<'_>], next: u32) -> Result<Vec<FileId>> {
        if let Some(found) = self.find_same(all, next) {
            return Ok(found);
        }
        self.list_all();
        let keys = parallel::each(all, key);
        let mut members: FxHashMap<Key, Vec<usize>> = FxHashMap::default();
        for (at, key) in keys.into_iter().enumerate() {
            members.entry(key).or_default().push(at);
        }
        let work = members.into_iter().map(|(key, members)| {
            let list = self.lists.remove(&key).unwrap_or_default();
            (key, list, members)
        });
        let (many, few): (Vec<_>, Vec<_>) =
            work.collect::<Vec<_>>().into_iter().partition(|(_, _, members)| members.len() >= MANY);
        let find = |(key, mut list, members): (Key, List, Vec<usize>)| {
            let ids = self.find_members(&mut list, all, &members, next);
            (key, list, members, ids)
        };
        let mut done: Vec<_> = parallel::each_of(many, 1, find).collect();
        done.extend(few.into_iter().map(find));
        // Until all are known, each is called by its place in `all`.
        let (mut found, mut failed) = (vec![FileId(0); all.len()], None);
        for (_, _, members, ids) in &mut done {
            match std::mem::replace(ids, Ok(Vec::new())) {
                Ok(ids) => members.iter().zip(ids).for_each(|(at, id)| found[*at] = id),
                Err(error) => failed = Some(error),
            }
        }
        let numbers = numbers(&found, next);
        let number = |id: &mut FileId| {
            if let Some(new) = id.0.checked_sub(next).and_then(|at| numbers.get(at as usize)) {
                *id = *new;
            }
        };
        found.iter_mut().for_each(number);
        for (key, mut list, ..) in done {
            list.ids().for_each(number);
            self.lists.insert(key, list);
        }
        match failed {
            Some(error) => {
                self.forget(next);
                Err(error)
            }
            None => Ok(found),
        }
    }

    fn find_members(
        &self,
        list: &mut List,
        all: &[Descriptor<'_>],
        members: &[usize],
        next: u32,
    ) -> Result<Vec<FileId>> {
        let find = |at: &usize| {
            let (seen, own) = (&all[*at], FileId(next + *at as u32));
            let told = self.told(seen);
            let (old, place) = list.find(seen, told)?;
            if old.is_none() {
                list.add(Seen::of(seen, own, told), place);
            }
            Ok(old.unwrap_or(own))
        };
        members.iter().map(find).collect()
    }

    /// Forgets descriptions from this number on.
    pub fn forget(&mut self, first: u32) {
        self.same.retain(|_, id| id.0 < first);
        self.unlisted.retain(|(_, seen)| seen.id.0 < first);
        for list in self.lists.values_mut() {
            list.all.retain(|seen| seen.id.0 < first);
            list.by_told.retain(|_, seen| seen.id.0 < first);
        }
        self.lists.retain(|_, list| !list.all.is_empty());
    }

    fn told(&self, seen: &Descriptor<'_>) -> Told {
        if let told @ Told::Same(_) = seen.same() {
            return told;
        }
        let place = (Pid(seen.table()), FdNum(seen.fd));
        self.ranks.0.get(&place).map_or(Told::Nothing, |rank| Told::Rank(*rank))
    }

    /// Whether everything is as it was told, as far as it was told by ranks.
    pub fn holds(&mut self) -> Result<bool> {
        if self.lists.values().any(|list| list.wrong) {
            return Ok(false);
        }
        let unsorted = self.lists.values_mut().filter(|list| !list.sorted && list.has_ranks());
        let unsorted: Vec<&mut List> = unsorted.collect();
        let mut checked = parallel::each_of(unsorted, 1, List::is_in_order);
        checked.try_fold(true, |all, one| Ok(all && one?))
    }

    /// Where all stand. Of lists whose order was never asked for, nothing.
    pub fn ranks(self, tables: &[FdTable]) -> Ranks {
        let sorted = self.lists.into_values().filter(|list| list.sorted);
        let ids = sorted.flat_map(|list| list.all).map(|seen| seen.id);
        let by_id: BTreeMap<FileId, u32> = ids.zip(0..).collect();
        let descriptors = tables.iter().flat_map(|table| {
            let pid = table.pid;
            table.fds.iter().map(move |fd| ((pid, fd.fd), fd.file))
        });
        let ranked = descriptors.filter_map(|(place, id)| Some((place, *by_id.get(&id)?)));
        Ranks(ranked.collect())
    }
}

impl Default for List {
    fn default() -> Self {
        let (all, by_told) = (Vec::new(), FxHashMap::default());
        Self { all, sorted: true, told: true, by_told, wrong: false }
    }
}

impl List {
    /// The description of a descriptor, or where it is to be added.
    fn find(&mut self, seen: &Descriptor<'_>, told: Told) -> Result<(Option<FileId>, usize)> {
        if let [old] = &self.all[..]
            && is_single(seen)
        {
            return Ok((Some(old.id), 0));
        }
        match self.by_told.get(&told) {
            Some(old) if matches!(told, Told::Same(_)) => return Ok((Some(old.id), 0)),
            Some(old) if old.compare(seen.table(), seen.fd)? == Ordering::Equal => {
                return Ok((Some(old.id), 0));
            }
            Some(_) => self.wrong = true,
            None if told != Told::Nothing && self.told => return Ok((None, self.all.len())),
            None => {}
        }
        self.wrong |= !self.sort()?;
        self.search(seen)
    }

    fn add(&mut self, new: Seen, at: usize) {
        let told = new.told;
        if told != Told::Nothing {
            self.by_told.insert(told, new);
        }
        self.sorted &= !self.told || told == Told::Nothing || self.all.is_empty();
        self.told &= told != Told::Nothing;
        self.all.insert(at, new);
    }

    fn ids(&mut self) -> impl Iterator<Item = &mut FileId> {
        self.all.iter_mut().chain(self.by_told.values_mut()).map(|seen| &mut seen.id)
    }

    /// Puts all in the order of kcmp(2); false where two are the same.
    fn sort(&mut self) -> Result<bool> {
        if self.sorted {
            return Ok(true);
        }
        let (mut failed, mut distinct) = (None, true);
        self.all.sort_by(|a, b| {
            let order = a.compare(b.pid, b.fd).unwrap_or_else(|error| {
                failed = Some(error);
                Ordering::Equal
            });
            distinct &= order != Ordering::Equal;
            order
        });
        self.sorted = true;
        failed.map_or(Ok(distinct), Err)
    }

    /// The description of a descriptor, or where it belongs.
    fn search(&mut self, seen: &Descriptor<'_>) -> Result<(Option<FileId>, usize)> {
        let (mut low, mut high) = (0, self.all.len());
        while low < high {
            let middle = low.midpoint(high);
            let old = self.all[middle];
            match old.compare(seen.table(), seen.fd) {
                Ok(Ordering::Equal) => return Ok((Some(old.id), middle)),
                Ok(Ordering::Less) => low = middle + 1,
                Ok(Ordering::Greater) => high = middle,
                // It was closed since it was seen: its process runs.
                Err(_) if old.compare(old.pid, old.fd).is_err() => {
                    self.all.remove(middle);
                    high -= 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((None, low))
    }

    /// Whether any of them are known by what was seen when the processes ran, and not by what they are now.
    fn has_ranks(&self) -> bool {
        self.all.iter().any(|seen| matches!(seen.told, Told::Rank(_)))
    }

    /// Whether they are in the order that they had. It is theirs from then on.
    fn is_in_order(&mut self) -> Result<bool> {
        if self.all.iter().any(|seen| matches!(seen.told, Told::Same(_))) {
            return self.sort();
        }
        self.all.sort_by_key(|seen| match seen.told {
            Told::Rank(rank) => rank,
            Told::Same(_) | Told::Nothing => u32::MAX,
        });
        for pair in self.all.windows(2) {
            if pair[0].compare(pair[1].pid, pair[1].fd)? != Ordering::Less {
                return Ok(false);
            }
        }
        self.sorted = true;
        Ok(true)
    }
}

/// Numbers without gaps for those that are new: they are called by their places, counted from `next` on.
fn numbers(found: &[FileId], next: u32) -> Vec<FileId> {
    let mut last = next;
    let number = |(at, id): (usize, &FileId)| {
        let own = FileId(last);
        last += u32::from(id.0 == next + at as u32);
        own
    };
    found.iter().enumerate().map(number).collect()
}

/// Position and flags are not in it: where a description is shared with a process outside, they may change between two reads.
fn key(seen: &Descriptor<'_>) -> Key {
    let mut object = Vec::new();
    if seen.link.starts_with(b"anon_inode:") {
        object.extend(seen.link);
        object.extend(eventfd_id(seen).unwrap_or_default());
    }
    // One that is only a path is another description than the file itself.
    object.extend(seen.is_path().then_some(b'P'));
    (seen.info.mnt_id, seen.info.ino, object)
}

/// The kernel's number of an eventfd.
fn eventfd_id<'a>(seen: &'a Descriptor<'_>) -> Option<&'a [u8]> {
    seen.link.starts_with(b"anon_inode:[eventfd]").then(|| seen.info.line("eventfd-id"))?
}

/// Whether a single description leads to what the key names.
fn is_single(seen: &Descriptor<'_>) -> bool {
    let unique = seen.link.starts_with(b"socket:") || eventfd_id(seen).is_some();
    unique && !seen.is_path()
}
