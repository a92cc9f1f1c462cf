//! Mappings that a process has for what is inherited: by itself, by its children, and by theirs.
//!
//! Pages are shared copy-on-write again only by fork(2), at the addresses that they have in the parent, in a mapping that the
//! child goes on with. So a parent maps, before its children are made, what any of them keeps: the union of their mappings,
//! where these are of the same sort.

use crate::range_set::RangeSet;
use floe_records::*;
use std::collections::BTreeMap;

/// What makes two mappings one, but for their extents. Protection, locks and advice that are set on a mapping later on do
/// not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Sort {
    /// The file, and where in it address 0 would be.
    file: Option<(u64, u64, bool, u64)>,
    prot: u8,
    flags: [bool; 4],
}

impl Sort {
    /// That of a mapping; `None` where no child can have a page of it from its parent.
    pub fn of(vma: &Vma) -> Option<Self> {
        let object = vma.kind == VmaKind::Object;
        let base = vma.offset.wrapping_sub(vma.start.0);
        let file = vma.file.as_ref().map(|file| (file.dev, file.ino, object, base));
        let flags = [b"gd", b"nr", b"hg", b"nh"].map(|flag| vma.has(flag));
        vma.can_be_inherited().then(|| Self { file, prot: vma.fill_prot(), flags })
    }
}

/// A mapping that is made for what is inherited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub start: u64,
    pub end: u64,
    /// A mapping of the same sort: its process, and its start.
    pub like: (Pid, Addr),
    pub sort: Sort,
}

/// Those of a process, none overlapping another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments(BTreeMap<u64, Segment>);

impl Segments {
    /// Adds one. False where it overlaps one of another sort.
    fn add(&mut self, new: Segment) -> bool {
        let over: Vec<Segment> = self.within(new.start, new.end).copied().collect();
        if over.iter().any(|other| other.sort != new.sort) {
            return false;
        }
        let mut joined = new;
        for other in over {
            self.0.remove(&other.start);
            (joined.start, joined.end) = (joined.start.min(other.start), joined.end.max(other.end));
            joined.like = other.like;
        }
        self.0.insert(joined.start, joined);
        true
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.0.values()
    }

    /// Those with a part in a range, ascending.
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = &Segment> {
        let first = self.0.range(..=start).next_back().map_or(start, |last| *last.0);
        self.0
            .range(first..end.max(first))
            .map(|(_, segment)| segment)
            .filter(move |s| s.end > start)
    }

    /// From the first to the last one with a part in a range.
    pub fn extent(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let first = self.within(start, end).next()?;
        let last = self.0.range(..end).next_back()?;
        Some((first.start, last.1.end))
    }

    /// The one that has all of a range.
    pub fn around(&self, start: u64, end: u64) -> Option<&Segment> {
        self.0.range(..=start).next_back().map(|(_, segment)| segment).filter(|s| s.end >= end)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What each process takes from its parent, and what it keeps of all that it has had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub supplied: BTreeMap<Pid, RangeSet>,
    pub taken: BTreeMap<Pid, RangeSet>,
    pub kept: BTreeMap<Pid, RangeSet>,
}

/// What cannot be inherited as it was to be: a child, and a range that its parent has in a mapping of another sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Clash {
    pub child: Pid,
    pub start: u64,
    pub end: u64,
}

/// The segments of all processes that have any, `most` of them at most. `parts` name pages of mappings that can be inherited.
pub(crate) fn segments(
    tree: &Tree,
    parts: &Parts,
    most: usize,
) -> (BTreeMap<Pid, Segments>, Vec<Clash>) {
    let (mut all, mut clashes) = (BTreeMap::<Pid, Segments>::new(), Vec::new());
    let mut count = 0;
    // Children stand behind their parents.
    for p in tree.all::<Process>().iter().rev() {
        let mut own = kept(tree, p.pid, parts);
        for child in tree.children(p.pid) {
            let Some((taken, theirs)) = parts.taken.get(&child.pid).zip(all.get(&child.pid)) else {
                continue;
            };
            for segment in theirs.iter().filter(|s| taken.meets(s.start, s.end)) {
                count += 1;
                if count > most || !own.add(*segment) {
                    let (start, end) = (segment.start, segment.end);
                    clashes.push(Clash { child: child.pid, start, end });
                }
                if count > most {
                    break;
                }
            }
        }
        if !own.is_empty() {
            all.insert(p.pid, own);
        }
    }
    (all, clashes)
}

/// The mappings of a process that it keeps pages of.
fn kept(tree: &Tree, pid: Pid, parts: &Parts) -> Segments {
    let mut own = Segments::default();
    let Some(kept) = parts.kept.get(&pid) else { return own };
    for vma in tree.vmas(pid).filter(|vma| kept.meets(vma.start.0, vma.end.0)) {
        let Some(sort) = Sort::of(vma) else { continue };
        let (start, end, like) = (vma.start.0, vma.end.0, (pid, vma.start));
        own.add(Segment { start, end, like, sort });
    }
    own
}
