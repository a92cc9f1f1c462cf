//! Which process is to have which pages from its parent: pages that several have at the same address, by the order in which
//! restore makes the processes.
//!
//! Memory of a process that has been forked is that of its parent at that moment. While its children are made one after the
//! other, a parent may hold one page after the other at an address: what a child needs is put there before it is made, and what
//! is there in the end and is not the parent's own is dropped.

use crate::{
    Step,
    check::Found,
    family,
    range_set::RangeSet,
    segments::{Clash, Parts, Segments, Sort, segments},
};
use floe_records::*;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

/// Ranges of a record.
const MOST: usize = 8192;
/// How often what clashes is left out before all is.
const TRIES: usize = 32;

/// Processes, and numbers of what they have.
type Owners = Rc<[(u32, u32)]>;

/// Pages that are equal in several processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Equal {
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
    /// Processes, by their rows among the records; those with the same second number are equal, in mappings of the same sort.
    /// The first of each number gives the content.
    pub owners: Owners,
    /// Some differ by a few bytes.
    pub nearly: bool,
}

/// Pages that are sent for the parent of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Supply {
    /// That process.
    pub child: Pid,
    /// Which process has the pages now.
    pub from: Pid,
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
}

/// Pages that differ by a few bytes from what has been inherited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Differ {
    /// Whose they are.
    pub pid: Pid,
    /// Which process has the pages that were inherited.
    pub from: Pid,
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
}

/// What is to be written of it.
#[derive(Clone, Debug, Default)]
pub struct Heritage {
    /// Metadata.
    pub records: Vec<Inherited>,
    /// Contents, in the order in which restore wants them; ascending for each child and source.
    pub supplies: Vec<Supply>,
    /// What must be compared, and sent where it differs.
    pub differ: Vec<Differ>,
    /// Pages of each process that are not sent otherwise: addresses from the first one to the first one behind, ascending.
    pub kept: BTreeMap<Pid, Vec<(u64, u64)>>,
}

/// The mappings of a process that a child could have pages of, and numbers for their sorts, the same in all processes.
pub fn sorts(tree: &Tree) -> BTreeMap<Pid, Vec<(u64, u64, u32)>> {
    let mut known: BTreeMap<Sort, u32> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for p in tree.living() {
        let mappings = tree.vmas(p.pid).filter_map(|vma| {
            let sort = Sort::of(vma)?;
            let next = known.len() as u32;
            Some((vma.start.0, vma.end.0, *known.entry(sort).or_insert(next)))
        });
        all.insert(p.pid, mappings.collect());
    }
    all
}

/// Finds what is inherited. `tree` has at least its processes and their mappings; `equal` ascends, and overlaps with nothing.
pub fn heritage(tree: &Tree, equal: &[Equal]) -> Heritage {
    let lineage = Lineage::of(tree);
    let mut clashes: Vec<Clash> = Vec::new();
    for _ in 0..TRIES {
        let assigned = lineage.assign(equal, &clashes);
        let (all, new) = segments(tree, &assigned.parts, usize::MAX);
        if new.is_empty() {
            return written(tree, assigned, &all);
        }
        clashes.extend(new);
    }
    Heritage::default()
}

/// All processes in the order in which they are made; ranks are places in it.
struct Lineage {
    pids: Vec<Pid>,
    parents: Vec<Option<u32>>,
    /// Ranks by row among the records.
    ranks: Vec<Option<u32>>,
}

/// What becomes of one page, by rank.
#[derive(Default)]
struct Fate {
    taken: Vec<u32>,
    /// A child, and who has the page now.
    supplied: Vec<(u32, u32)>,
    /// Who keeps it, and who has given the content.
    kept: Vec<(u32, u32)>,
}

/// What all pages are to come by.
#[derive(Default)]
struct Assigned {
    parts: Parts,
    /// By rank.
    supplies: BTreeMap<u32, Vec<Supply>>,
    differ: Vec<Differ>,
}

impl Lineage {
    fn of(tree: &Tree) -> Self {
        let mut steps = Vec::new();
        family::create(tree, &mut steps, &mut Found::default());
        let (mut pids, mut parents, mut known) = (Vec::new(), Vec::new(), BTreeMap::new());
        for step in steps {
            if let Step::Create(pid, ..) = step {
                known.insert(pid, pids.len() as u32);
                pids.push(pid);
                let parent = tree.get::<Process>(pid).map(|p| tree.owner(p.ppid, Share::Memory));
                parents.push(parent.and_then(|parent| known.get(&parent).copied()));
            }
        }
        let rows = tree.all::<Process>().iter();
        let ranks = rows.map(|p| known.get(&p.pid).copied()).collect();
        Self { pids, parents, ranks }
    }

    /// What each process has of which, and what must be sent for that.
    fn assign(&self, equal: &[Equal], clashes: &[Clash]) -> Assigned {
        let mut fates: HashMap<(Owners, Vec<u32>), Rc<Fate>> = HashMap::new();
        let mut assigned = Assigned::default();
        let known: HashMap<Pid, u32> = self.pids.iter().copied().zip(0..).collect();
        for run in equal {
            for (start, end) in pieces(run.start, run.end, clashes) {
                let over = clashes.iter().filter(|clash| clash.start < end && clash.end > start);
                let barred: Vec<u32> = over.filter_map(|c| known.get(&c.child).copied()).collect();
                let key = (run.owners.clone(), barred);
                let fate = match fates.get(&key) {
                    Some(fate) => fate.clone(),
                    None => {
                        let fate = Rc::new(self.fate(&key.0, &key.1));
                        fates.insert(key, fate.clone());
                        fate
                    }
                };
                self.add(&fate, (start, end), run.nearly, &mut assigned);
            }
        }
        assigned
    }

    fn add(&self, fate: &Fate, (start, end): (u64, u64), nearly: bool, to: &mut Assigned) {
        let pid = |rank: u32| self.pids[rank as usize];
        let put = |map: &mut BTreeMap<Pid, RangeSet>, rank| {
            map.entry(pid(rank)).or_default().insert(start, end);
        };
        fate.taken.iter().for_each(|rank| put(&mut to.parts.taken, *rank));
        for &(rank, from) in &fate.kept {
            put(&mut to.parts.kept, rank);
            if nearly && rank != from {
                to.differ.push(Differ { pid: pid(rank), from: pid(from), start, end });
            }
        }
        for &(child, from) in &fate.supplied {
            put(&mut to.parts.supplied, child);
            let supply = Supply { child: pid(child), from: pid(from), start, end };
            to.supplies.entry(child).or_default().push(supply);
        }
    }

    /// What becomes of a page that is equal in these processes; no page passes on to the ranks in `barred`.
    fn fate(&self, owners: &[(u32, u32)], barred: &[u32]) -> Fate {
        let rank = |row: u32| self.ranks.get(row as usize).copied().flatten();
        // Who gives the content, and all members.
        let mut groups: BTreeMap<u32, (u32, BTreeSet<u32>)> = BTreeMap::new();
        for (row, group) in owners {
            if let Some(rank) = rank(*row) {
                groups.entry(*group).or_insert((rank, BTreeSet::new())).1.insert(rank);
            }
        }
        let mut edges: BTreeMap<u32, u32> = BTreeMap::new();
        for (&group, (_, members)) in groups.iter().filter(|(_, (_, all))| all.len() > 1) {
            let mut open = members.clone();
            while let Some(last) = open.pop_last().filter(|_| !open.is_empty()) {
                // Parents come before their children: `last` is above nobody that is left.
                let parent = self.parents[last as usize].filter(|_| !barred.contains(&last));
                if let Some(parent) = parent {
                    edges.entry(last).or_insert(group);
                    open.insert(parent);
                }
            }
        }
        let mut fate = Fate::default();
        let mut held: BTreeMap<u32, u32> = BTreeMap::new();
        for (&child, &group) in &edges {
            let Some(parent) = self.parents[child as usize] else { continue };
            if held.insert(parent, group) != Some(group) {
                fate.supplied.extend(groups.get(&group).map(|(from, _)| (child, *from)));
            }
            fate.taken.push(child);
            held.insert(child, group);
        }
        for (group, (from, members)) in &groups {
            let kept = members.iter().filter(|rank| held.get(rank) == Some(group));
            fate.kept.extend(kept.map(|rank| (*rank, *from)));
        }
        fate
    }
}

/// A range, cut where a clash begins or ends.
fn pieces(start: u64, end: u64, clashes: &[Clash]) -> Vec<(u64, u64)> {
    let bounds = clashes.iter().flat_map(|clash| [clash.start, clash.end]);
    let mut cuts: BTreeSet<u64> = bounds.filter(|at| start < *at && *at < end).collect();
    cuts.extend([start, end]);
    let cuts: Vec<u64> = cuts.into_iter().collect();
    cuts.windows(2).map(|two| (two[0], two[1])).collect()
}

/// As records: each range in one mapping, or in one segment.
fn written(tree: &Tree, assigned: Assigned, all: &BTreeMap<Pid, Segments>) -> Heritage {
    let Assigned { parts, supplies, mut differ } = assigned;
    differ.sort_by_key(|differ| (differ.pid, differ.from, differ.start));
    let mut heritage = Heritage { differ, ..Heritage::default() };
    let none = Segments::default();
    for p in tree.living() {
        let own = all.get(&p.pid).unwrap_or(&none);
        let bounds: Vec<(u64, u64)> = own.iter().map(|s| (s.start, s.end)).collect();
        let lists =
            [(InheritedPart::Supplied, &parts.supplied), (InheritedPart::Taken, &parts.taken)];
        for (part, ranges) in lists {
            record(p.pid, part, ranges.get(&p.pid), &bounds, &mut heritage.records);
        }
        let kept = parts.kept.get(&p.pid);
        let mappings = tree.vmas(p.pid).filter(|_| kept.is_some());
        let bounds: Vec<(u64, u64)> = mappings.map(|vma| (vma.start.0, vma.end.0)).collect();
        record(p.pid, InheritedPart::Kept, kept, &bounds, &mut heritage.records);
    }
    heritage.kept = parts.kept.iter().map(|(pid, kept)| (*pid, kept.iter().collect())).collect();
    heritage.supplies = supplies.into_values().flat_map(by_source).collect();
    heritage
}

/// What is sent for one child: ascending for each source.
fn by_source(mut some: Vec<Supply>) -> Vec<Supply> {
    some.sort_by_key(|supply| (supply.from, supply.start));
    some
}

/// Records of ranges, each within one of the bounds, which ascend.
fn record(
    pid: Pid,
    part: InheritedPart,
    ranges: Option<&RangeSet>,
    bounds: &[(u64, u64)],
    records: &mut Vec<Inherited>,
) {
    let Some(ranges) = ranges else { return };
    let mut list = Vec::new();
    for &(start, end) in bounds {
        let some = ranges.within(start, end).map(|(from, to)| (from.max(start), to.min(end)));
        list.extend(some.map(|(from, to)| (Addr(from), to - from)));
    }
    records.extend(list.chunks(MOST).map(|some| Inherited { pid, part, ranges: some.to_vec() }));
}
