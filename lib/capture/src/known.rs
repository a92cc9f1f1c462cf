//! Which descriptors lead to the same open file description, as kcmp(2) tells.
//!
//! kcmp(2) puts descriptions in an order, so each is found among thousands by a search in halves. The same is asked three times: of
//! processes that run, again when they stand still, and by `dumpfs`. Only the first time takes all those calls. The second time
//! descriptors that were told apart before are believed to be still, and each list is checked once from end to end: the order has not
//! changed if nothing has. The third time everything has stood still since.

use crate::descriptor_of::Descriptor;
use floe_records::{FdNum, FdTable, FileId, Pid};
use floe_sys::{Result, kcmp_file};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

/// What duplicates of a descriptor have in common: mount, inode, and what tells kernel objects of one inode apart.
type Key = (u32, u64, Vec<u8>);

/// Where the descriptions of descriptors stood in the order of kcmp(2), each among those with the same key.
#[derive(Clone, Default, Debug)]
pub struct Ranks(HashMap<(Pid, FdNum), u32>);

/// What was told of a descriptor before it is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Told {
    Nothing,
    /// Where it stood, when the processes ran.
    Rank(u32),
    /// The same number as all others of its description have, and none else.
    Same(u32),
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
}

/// All descriptions that have been seen.
#[derive(Default)]
pub(crate) struct Known {
    lists: HashMap<Key, List>,
    told: HashMap<Told, Seen>,
    ranks: Ranks,
    /// What was told is not so.
    wrong: bool,
}

impl Known {
    /// `ranks`: what is known from when the processes ran.
    pub fn new(ranks: Ranks) -> Self {
        Self { ranks, ..Self::default() }
    }

    /// The description of a descriptor, if another one has led to it; else where it is to be added.
    pub fn find(&mut self, seen: &Descriptor<'_>) -> Result<(Option<FileId>, usize)> {
        let told = self.told(seen);
        let list = self.lists.entry(key(seen)).or_default();
        if let [old] = &list.all[..]
            && is_single(seen)
        {
            return Ok((Some(old.id), 0));
        }
        match self.told.get(&told) {
            Some(old) if matches!(told, Told::Same(_)) => return Ok((Some(old.id), 0)),
            Some(old) if old.compare(seen.table(), seen.fd)? == Ordering::Equal => {
                return Ok((Some(old.id), 0));
            }
            Some(_) => self.wrong = true,
            None if told != Told::Nothing && list.told => return Ok((None, list.all.len())),
            None => {}
        }
        self.wrong |= !list.sort()?;
        list.search(seen)
    }

    /// Adds the description of a descriptor where [`Known::find`] has said.
    pub fn add(&mut self, seen: &Descriptor<'_>, id: FileId, at: usize) {
        let told = self.told(seen);
        let new = Seen { pid: seen.table(), fd: seen.fd, id, told };
        if told != Told::Nothing {
            self.told.insert(told, new);
        }
        if let Some(list) = self.lists.get_mut(&key(seen)) {
            list.sorted &= !list.told || told == Told::Nothing || list.all.is_empty();
            list.told &= told != Told::Nothing;
            list.all.insert(at, new);
        }
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
        for list in self.lists.values_mut().filter(|list| !list.sorted) {
            if self.wrong || !list.is_in_order()? {
                return Ok(false);
            }
        }
        Ok(!self.wrong)
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
        Self { all: Vec::new(), sorted: true, told: true }
    }
}

impl List {
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

    /// Whether they are in the order that they had. It is theirs from then on.
    fn is_in_order(&mut self) -> Result<bool> {
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

/// Position and flags are not in it: where a description is shared with a process outside, they may change between two reads.
fn key(seen: &Descriptor<'_>) -> Key {
    let mut object = Vec::new();
    if seen.link.starts_with(b"anon_inode:") {
        object.extend(seen.link);
        object.extend(seen.info.line("eventfd-id").unwrap_or_default());
    }
    // One that is only a path is another description than the file itself.
    object.extend(seen.is_path().then_some(b'P'));
    (seen.info.mnt_id, seen.info.ino, object)
}

/// Whether a single description leads to what the key names.
fn is_single(seen: &Descriptor<'_>) -> bool {
    let unique = seen.link.starts_with(b"socket:") || seen.info.line("eventfd-id").is_some();
    unique && !seen.is_path()
}
