//! What processes have from their parents: which steps there are for it, and what each of them changes.

use crate::{
    Step,
    check::Found,
    range_set::RangeSet,
    segments::{Parts, Segment, Segments, Sort, segments},
};
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// A change of the memory of a process, of whole pages; addresses from the first one to the first one behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// munmap(2). The hole stays, should it lie between.
    Unmap(u64, u64),
    /// Drop the pages (MADV_DONTNEED of madvise(2)).
    Discard(u64, u64),
    /// Map it as that mapping of that process is, at this address or at another one of the same file.
    Map(u64, u64, (Pid, Addr)),
}

/// What a process does about what it has had when it becomes what it was.
#[derive(Clone, Debug, Default)]
struct Settled {
    changes: Vec<Change>,
    /// Mappings that stay, by their starts.
    stay: BTreeSet<Addr>,
}

/// Memory that processes have from their parents.
#[derive(Clone, Debug, Default)]
pub struct Inheritance {
    born: BTreeMap<Pid, Vec<Change>>,
    settled: BTreeMap<Pid, Settled>,
    supplied: BTreeMap<Pid, RangeSet>,
    /// Processes that have children, and so change it at once.
    early: BTreeSet<Pid>,
}

impl Inheritance {
    /// What a process changes as soon as it is made, or at least before its own mappings: what is left is that which it, or a
    /// child of its own, has from its parent.
    pub fn born(&self, pid: Pid) -> &[Change] {
        self.born.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// What a process whose children have all been made changes, before it makes its mappings.
    pub fn settled(&self, pid: Pid) -> &[Change] {
        self.settled.get(&pid).map_or(&[], |settled| &settled.changes)
    }

    /// Whether a mapping is there already, with pages in it.
    pub fn stays(&self, pid: Pid, vma: &Vma) -> bool {
        self.settled.get(&pid).is_some_and(|settled| settled.stay.contains(&vma.start))
    }

    /// Most bytes that the parent of a process gets for it.
    pub fn supplied(&self, child: Pid) -> u64 {
        self.supplied.get(&child).map_or(0, RangeSet::bytes)
    }

    /// Whether all of these pages are some that the parent gets for its child.
    pub fn has_room_for(&self, pages: &ParentPages) -> bool {
        self.supplied.get(&pages.pid).is_some_and(|supplied| {
            let mut ranges = pages.ranges.as_slice().iter();
            ranges.all(|(start, len)| supplied.covers(*start, start + u64::from(*len)))
        })
    }

    /// Finds it all, and what is wrong with what the stream says of it. `steps` make the processes; those for their memory are
    /// put between them.
    pub(crate) fn find(tree: &Tree, steps: &mut Vec<Step>, found: &mut Found) -> Self {
        let mut new = Self::default();
        if tree.all::<Inherited>().is_empty() {
            return new;
        }
        let Some((parts, all)) = checked(tree, found) else { return new };
        let mut had: BTreeMap<Pid, RangeSet> = BTreeMap::new();
        let (none, nothing) = (Segments::default(), RangeSet::default());
        let mut with_memory = Vec::with_capacity(steps.len());
        for step in std::mem::take(steps) {
            let Step::Create(pid, maker, _) = step else {
                with_memory.push(step);
                continue;
            };
            if tree.owner(pid, Share::Memory) != pid {
                with_memory.push(step);
                continue;
            }
            let parent = maker.and_then(|_| tree.get::<Process>(pid));
            let parent = parent.map(|p| tree.owner(p.ppid, Share::Memory));
            if let Some((parent, supplied)) = parent.zip(parts.supplied.get(&pid)) {
                let has = had.entry(parent).or_default();
                supplied.iter().for_each(|(start, end)| has.insert(start, end));
                with_memory.push(Step::Supply(pid));
            }
            with_memory.push(step);
            let above = parent.and_then(|parent| all.get(&parent)).unwrap_or(&none);
            let has = parent.and_then(|parent| had.get(&parent)).unwrap_or(&nothing);
            let taken = parts.taken.get(&pid).unwrap_or(&nothing);
            if taken.iter().any(|(start, end)| !has.covers(start, end)) {
                let problem = "it has pages from its parent that the parent has not";
                found.add(|| Finding::of(pid, "memory", "plan.inherited", problem));
            }
            let own = all.get(&pid).unwrap_or(&none);
            let changes = born(above, has, own, taken);
            had.insert(pid, taken.clone());
            // Its children will have what it has.
            if !changes.is_empty() && tree.children(pid).next().is_some() {
                new.early.insert(pid);
                with_memory.push(Step::Inherit(pid));
            }
            new.born.insert(pid, changes);
        }
        *steps = with_memory;
        for p in tree.living() {
            let (Some(own), Some(had)) = (all.get(&p.pid), had.get(&p.pid)) else { continue };
            let kept = parts.kept.get(&p.pid).unwrap_or(&nothing);
            new.settled.insert(p.pid, settled(tree, p.pid, own, had, kept));
        }
        new.supplied = parts.supplied;
        new
    }

    /// Whether a process has something to change that no step in front of its children does.
    pub(crate) fn late(&self, pid: Pid) -> bool {
        !self.early.contains(&pid) && !self.born(pid).is_empty()
    }
}

/// What the stream says, where that can be: each range lies in one mapping, or in one segment.
fn checked(tree: &Tree, found: &mut Found) -> Option<(Parts, BTreeMap<Pid, Segments>)> {
    let mut parts = Parts::default();
    let (mut count, mut good) = (0, true);
    let mut refuse = |pid, problem: &str| {
        found.add(|| Finding::of(pid, "memory", "plan.inherited", problem));
        good = false;
    };
    for record in tree.all::<Inherited>() {
        let map = match record.part {
            InheritedPart::Supplied => &mut parts.supplied,
            InheritedPart::Taken => &mut parts.taken,
            InheritedPart::Kept => &mut parts.kept,
        };
        count += record.ranges.len();
        let set = map.entry(record.pid).or_default();
        for &(Addr(start), len) in &record.ranges {
            if set.meets(start, start + len) {
                refuse(record.pid, "what it has from its parent is told twice");
            }
            set.insert(start, start + len);
        }
    }
    for (pid, supplied) in &parts.supplied {
        let taken = parts.taken.get(pid);
        if !supplied.iter().all(|(start, end)| taken.is_some_and(|t| t.covers(start, end))) {
            refuse(*pid, "its parent has pages for it that it does not take");
        }
    }
    let (all, clashes) = segments(tree, &parts, count);
    for clash in clashes {
        refuse(clash.child, "its parent has another mapping where it is to have pages from it");
    }
    for record in tree.all::<Inherited>() {
        let lies = |(Addr(start), len): &(Addr, u64)| {
            let end = start + len;
            let segment = all.get(&record.pid).and_then(|own| own.around(*start, end));
            match record.part {
                InheritedPart::Kept => {
                    segment.is_some_and(|s| is_own(tree, record.pid, s, *start, end))
                }
                _ => segment.is_some(),
            }
        };
        if !record.ranges.iter().all(lies) {
            refuse(record.pid, "it has pages from its parent where it has no mapping for them");
        }
    }
    good.then_some((parts, all))
}

/// Whether a range lies in one mapping of a process, of the sort of the segment.
fn is_own(tree: &Tree, pid: Pid, segment: &Segment, start: u64, end: u64) -> bool {
    let vma = crate::vma_at(tree, pid, Addr(start));
    vma.is_some_and(|vma| end <= vma.end.0 && Sort::of(vma) == Some(segment.sort))
}

/// What a child changes of what it has from its parent, whose segments are `above` and whose pages are `has`.
fn born(above: &Segments, has: &RangeSet, own: &Segments, taken: &RangeSet) -> Vec<Change> {
    let mut changes = Vec::new();
    let stays = |segment: &&Segment| taken.meets(segment.start, segment.end);
    let mut at = 0;
    let mut stay = own.iter().filter(stays).map(|segment| (segment.start, segment.end));
    loop {
        let next = stay.next();
        unmap(above, at, next.map_or(u64::MAX, |next| next.0), &mut changes);
        let Some((start, end)) = next else { break };
        discard(taken, has, start, end, &mut changes);
        at = end;
    }
    let new = own.iter().filter(|segment| !stays(segment));
    changes.extend(new.map(|segment| Change::Map(segment.start, segment.end, segment.like)));
    changes
}

/// Unmaps the parts of some segments that lie in a range.
fn unmap(segments: &Segments, start: u64, end: u64, changes: &mut Vec<Change>) {
    let extent = segments.extent(start, end);
    changes.extend(extent.map(|(from, to)| Change::Unmap(from.max(start), to.min(end))));
}

/// Drops the pages in a range that are there and do not stay.
fn discard(stays: &RangeSet, has: &RangeSet, start: u64, end: u64, changes: &mut Vec<Change>) {
    let gaps = stays.gaps(start, end).into_iter();
    let gaps = gaps.filter(|(start, end)| has.meets(*start, *end));
    changes.extend(gaps.map(|(start, end)| Change::Discard(start, end)));
}

/// What a process whose children are made changes of its segments.
fn settled(tree: &Tree, pid: Pid, own: &Segments, had: &RangeSet, kept: &RangeSet) -> Settled {
    let mut settled = Settled::default();
    let mut at = 0;
    for vma in tree.vmas(pid) {
        let (start, end) = (vma.start.0, vma.end.0);
        let around = own.around(start, end).filter(|s| Sort::of(vma) == Some(s.sort));
        if around.is_none() {
            continue;
        }
        unmap(own, at, start, &mut settled.changes);
        discard(kept, had, start, end, &mut settled.changes);
        settled.stay.insert(vma.start);
        at = end;
    }
    unmap(own, at, u64::MAX, &mut settled.changes);
    settled
}
