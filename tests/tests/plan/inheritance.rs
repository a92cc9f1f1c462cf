//! Memory of paper: what is inherited must be there in the end, in every process, whatever the order of the steps.

use crate::{
    grow::{Deed, grow},
    model,
};
use floe_plan::{Change, Equal, Heritage, Phase, Plan, Step, Subject, heritage, plan, sorts};
use floe_records::*;
use floe_tests::tree::{Builder, machine};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: u64 = PAGE_SIZE;
/// Pages in which all mappings lie.
const PAGES: std::ops::Range<u64> = 0x100..0x130;

/// What a process has in each page, and where its mappings begin and end, in pages, with their sorts.
#[derive(Clone, Default)]
struct Memory {
    mappings: BTreeMap<u64, (u64, u8)>,
    contents: BTreeMap<u64, u32>,
}

impl Memory {
    fn sort_at(&self, page: u64) -> Option<u8> {
        let (_, (end, sort)) = self.mappings.range(..=page).next_back()?;
        (*end > page).then_some(*sort)
    }

    /// One thing that happens to it.
    fn change(&mut self, (what, at, with): Deed, next: &mut u32) {
        let page = PAGES.start + u64::from(at) % (PAGES.end - PAGES.start);
        let end = (page + 1 + u64::from(with) % 12).min(PAGES.end);
        match what % 8 {
            0 => {
                let taken = self.mappings.iter().any(|(start, (to, _))| *start < end && *to > page);
                if !taken {
                    self.mappings.insert(page, (end, with as u8 % 4));
                }
            }
            1 => {
                let at = self.mappings.range(..=page).next_back().map(|(start, _)| *start);
                let gone = at.and_then(|at| self.mappings.remove_entry(&at));
                if let Some((start, (to, sort))) = gone {
                    // A part of it stays.
                    if start < page && page < to {
                        self.mappings.insert(start, (page, sort));
                    }
                }
            }
            2 => {
                let at = self.mappings.range(..=page).next_back().map(|(start, _)| *start);
                let next = self.mappings.range(page + 1..).next().map_or(PAGES.end, |next| *next.0);
                if let Some(mapping) = at.and_then(|at| self.mappings.get_mut(&at)) {
                    mapping.0 = mapping.0.max(end.min(next));
                }
            }
            _ => {
                for page in page..end.min(page + 3) {
                    if self.sort_at(page).is_some() {
                        *next += 1;
                        self.contents.insert(page, *next);
                    }
                }
            }
        }
        let kept: Vec<u64> =
            self.contents.keys().copied().filter(|page| self.sort_at(*page).is_some()).collect();
        self.contents.retain(|page, _| kept.contains(page));
    }

    fn vmas(&self) -> Vec<Vma> {
        let vma = |(&start, &(end, sort)): (&u64, &(u64, u8))| {
            let mut vma = floe_tests::made::mapping(start * PAGE, end * PAGE, b"/lib");
            (vma.prot, vma.flags) = (3, b"rdwrac"[..].into());
            match sort {
                0 => (vma.kind, vma.file) = (VmaKind::Anon, None),
                1 => (vma.kind, vma.file, vma.prot) = (VmaKind::Anon, None, 7),
                // A file whose offset is its address.
                2 => vma.offset = start * PAGE,
                // Of which no page can be inherited.
                _ => (vma.kind, vma.file) = (VmaKind::Detached, None),
            }
            vma
        };
        self.mappings.iter().map(vma).collect()
    }
}

/// Everything that a tree of processes has in its memory.
type World = BTreeMap<Pid, Memory>;

/// A tree in which each process began with the memory of its parent, and has changed it since.
fn made(deeds: &[Deed], changes: &[Deed]) -> (Builder, World) {
    let mut builder = grow(deeds);
    let tree = builder.tree();
    let (mut world, mut next) = (World::new(), 0);
    let (early, late) = changes.split_at(changes.len() / 2);
    for p in tree.living() {
        let mut memory = world.get(&p.ppid).cloned().unwrap_or_default();
        if world.is_empty() {
            early.iter().for_each(|deed| memory.change(*deed, &mut next));
        }
        world.insert(p.pid, memory);
        // Before the next child is made, somebody does something.
        for deed in late.iter().skip(world.len() % 3).step_by(3) {
            let pids: Vec<Pid> = world.keys().copied().collect();
            let who = pids[usize::from(deed.1 >> 8) % pids.len()];
            world.entry(who).or_default().change(*deed, &mut next);
        }
    }
    for (pid, memory) in &world {
        builder.vmas(pid.0, memory.vmas());
    }
    (builder, world)
}

/// What is equal, page by page.
fn equal(tree: &Tree, world: &World) -> Vec<Equal> {
    let sorts = sorts(tree);
    let mut all = Vec::new();
    for page in PAGES {
        let (start, end) = (page * PAGE, (page + 1) * PAGE);
        let mut groups: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for (row, p) in (0..).zip(tree.all::<Process>()) {
            let content = world.get(&p.pid).and_then(|memory| memory.contents.get(&page));
            let of = sorts.get(&p.pid).into_iter().flatten();
            let sort = of.clone().find(|(from, to, _)| *from <= start && end <= *to);
            if let (Some(content), Some((_, _, sort))) = (content, sort) {
                groups.entry((*sort, *content)).or_default().push(row);
            }
        }
        let groups = groups.into_values().filter(|rows| rows.len() > 1);
        let owners: Vec<(u32, u32)> = groups
            .zip(0..)
            .flat_map(|(rows, n)| rows.into_iter().map(move |row| (row, n)))
            .collect();
        if !owners.is_empty() {
            all.push(Equal { start, end, owners: owners.into(), nearly: false });
        }
    }
    all
}

/// What a process has while it is made: pages with what maps them, and the pages of memory behind them.
#[derive(Clone, Default)]
struct Stub {
    mapped: BTreeMap<u64, u8>,
    /// Frame and content.
    pages: BTreeMap<u64, (usize, u32)>,
}

type Played<T = ()> = Result<T, String>;

fn must(holds: bool, problem: &str) -> Played {
    if holds { Ok(()) } else { Err(problem.to_owned()) }
}

impl Stub {
    fn make(&mut self, changes: &[Change], world: &World) -> Played {
        for change in changes {
            let pages = |start: u64, end: u64| start / PAGE..end / PAGE;
            match *change {
                Change::Unmap(start, end) => {
                    for page in pages(start, end) {
                        self.mapped.remove(&page);
                        self.pages.remove(&page);
                    }
                }
                Change::Discard(start, end) => {
                    for page in pages(start, end) {
                        must(self.mapped.contains_key(&page), "pages of nothing are dropped")?;
                        self.pages.remove(&page);
                    }
                }
                Change::Map(start, end, (pid, at)) => {
                    let like = world.get(&pid).and_then(|memory| memory.sort_at(at.0 / PAGE));
                    let like = like.ok_or("it is like no mapping")?;
                    self.map(pages(start, end), like)?;
                }
            }
        }
        Ok(())
    }

    fn map(&mut self, pages: std::ops::Range<u64>, sort: u8) -> Played {
        for page in pages {
            must(self.mapped.insert(page, sort).is_none(), "EEXIST: something is mapped there")?;
        }
        Ok(())
    }
}

/// Plays all steps on memory; gives what each process has in the end, without what is sent for it alone.
fn play(
    tree: &Tree,
    world: &World,
    plan: &Plan,
    heritage: &Heritage,
) -> Played<BTreeMap<Pid, Stub>> {
    let mut stubs: BTreeMap<Pid, Stub> = BTreeMap::new();
    let mut frames = 0;
    for step in &plan.steps {
        match *step {
            Step::Create(pid, maker, _) => {
                let parent = tree.get::<Process>(pid).ok_or("who is it")?.ppid;
                let stub = maker.map_or(Some(Stub::default()), |_| stubs.get(&parent).cloned());
                stubs.insert(pid, stub.ok_or("it has no parent")?);
            }
            Step::Supply(pid) => {
                let parent = tree.get::<Process>(pid).ok_or("who is it")?.ppid;
                let stub = stubs.get_mut(&parent).ok_or("it has no parent")?;
                for supply in heritage.supplies.iter().filter(|supply| supply.child == pid) {
                    for page in supply.start / PAGE..supply.end / PAGE {
                        must(stub.mapped.contains_key(&page), "EFAULT: nothing is mapped there")?;
                        frames += 1;
                        let content = world.get(&supply.from).and_then(|m| m.contents.get(&page));
                        stub.pages.insert(page, (frames, content.copied().unwrap_or(0)));
                    }
                }
            }
            Step::Inherit(pid) => {
                let stub = stubs.get_mut(&pid).ok_or("it is not there")?;
                stub.make(plan.inheritance.born(pid), world)?;
            }
            Step::Apply(Phase::Map, Subject::Process(pid), Kind::Vmas) => {
                let stub = stubs.get_mut(&pid).ok_or("it is not there")?;
                stub.make(plan.inheritance.settled(pid), world)?;
                for vma in tree.vmas(pid) {
                    let pages = vma.start.0 / PAGE..vma.end.0 / PAGE;
                    let sort = world.get(&pid).and_then(|memory| memory.sort_at(pages.start));
                    let sort = sort.ok_or("it has no such mapping")?;
                    if plan.inheritance.stays(pid, vma) {
                        let mut all = pages.map(|page| stub.mapped.get(&page));
                        must(all.all(|there| there == Some(&sort)), "it is of another sort")?;
                    } else {
                        stub.map(pages, sort)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(stubs)
}

/// Everybody has what it had; how many pages of memory that takes, and how many are had.
fn whole(
    stubs: &BTreeMap<Pid, Stub>,
    world: &World,
    heritage: &Heritage,
) -> Played<(usize, usize)> {
    let (mut frames, mut all) = (BTreeSet::new(), 0);
    for (pid, memory) in world {
        let stub = stubs.get(pid).ok_or("it was never made")?;
        let extra = stub.mapped.keys().find(|page| memory.sort_at(**page).is_none());
        must(extra.is_none(), &format!("{pid} maps {extra:x?} beside its mappings"))?;
        let kept = heritage.kept.get(pid).map_or(&[][..], Vec::as_slice);
        for page in PAGES {
            let at = page * PAGE;
            let inherits = kept.iter().any(|(start, end)| *start <= at && at < *end);
            let (has, had) = (stub.pages.get(&page), memory.contents.get(&page));
            all += usize::from(had.is_some());
            match has {
                Some((frame, content)) => {
                    frames.insert(*frame);
                    let good = inherits && had == Some(content);
                    must(good, &format!("{pid} has {content} in page {page:x} and had {had:?}"))?;
                }
                None => {
                    must(!inherits, &format!("{pid} misses page {page:x}"))?;
                    // It is sent for it alone.
                    if had.is_some() {
                        frames.insert(1_000_000 + frames.len());
                    }
                }
            }
        }
    }
    Ok((frames.len(), all))
}

/// All of it; how many pages of memory there are in the end, and how many were had.
fn restored(mut builder: Builder, world: &World) -> Played<(usize, usize)> {
    let tree = builder.tree();
    let heritage = heritage(&tree, &equal(&tree, world));
    heritage.records.iter().for_each(|record| builder.add(record.clone()));
    let tree = builder.tree();
    let plan = match plan(&tree, &machine()) {
        Ok(plan) => plan,
        // Grown trees may have sessions that cannot be made again.
        Err(no) if no.0.iter().all(|f| ["plan.session", "plan.group"].contains(&&*f.rule)) => {
            return Ok((0, 0));
        }
        Err(no) => return Err(no.to_string()),
    };
    model::play(&tree, &plan.steps)?;
    whole(&play(&tree, world, &plan, &heritage)?, world, &heritage)
}

fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    proptest::collection::vec(any::<Deed>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_inherited_is_what_was_there(tree in deeds(40), changes in deeds(60)) {
        let (builder, world) = made(&tree, &changes);
        restored(builder, &world).map_err(TestCaseError::fail)?;
    }

    /// Records of a stranger are refused, or give a plan in which nothing is written where nothing is mapped.
    #[test]
    fn strangers_say_what_they_like(
        tree in deeds(30),
        changes in deeds(60),
        which in any::<prop::sample::Index>(),
        (start, len) in (0u64..0x40, 1u64..8),
        how in 0u8..6,
    ) {
        let (mut builder, world) = made(&tree, &changes);
        let tree = builder.tree();
        let mut heritage = heritage(&tree, &equal(&tree, &world));
        if heritage.records.is_empty() {
            return Ok(());
        }
        let at = which.index(heritage.records.len());
        let record = &mut heritage.records[at];
        let range = (Addr((0xf8 + start) * PAGE), len * PAGE);
        match how {
            0 => record.ranges = vec![range],
            1 => record.ranges.push(range),
            2 => record.part = InheritedPart::Taken,
            3 => record.part = InheritedPart::Kept,
            4 => record.pid = tree.all::<Process>()[start as usize % tree.all::<Process>().len()].pid,
            _ => drop(heritage.records.remove(at)),
        }
        heritage.records.iter().for_each(|record| builder.add(record.clone()));
        let tree = builder.tree();
        if let Ok(plan) = plan(&tree, &machine()) {
            model::play(&tree, &plan.steps).map_err(TestCaseError::fail)?;
            let supplied = |supply: &floe_plan::Supply| {
                let mut ranges = Ranges::default();
                ranges.push(supply.start, (supply.end - supply.start) as u32).expect("a page");
                plan.inheritance.has_room_for(&ParentPages { pid: supply.child, ranges })
            };
            heritage.supplies.retain(supplied);
            play(&tree, &world, &plan, &heritage).map_err(TestCaseError::fail)?;
        }
    }
}

/// A process with some memory, and children made one after the other.
fn family(children: u32, between: impl Fn(&mut World, u32)) -> (Builder, World) {
    let mut builder = Builder::new(100);
    let mut memory = Memory::default();
    memory.mappings.insert(0x100, (0x110, 0));
    memory.mappings.insert(0x118, (0x120, 2));
    memory.contents.extend((0x100..0x108).map(|page| (page, page as u32)));
    memory.contents.extend((0x118..0x11c).map(|page| (page, page as u32)));
    let mut world = World::from([(Pid(100), memory)]);
    for pid in 101..=100 + children {
        builder.process(pid, 100, |_| {});
        let memory = world[&Pid(100)].clone();
        world.insert(Pid(pid), memory);
        between(&mut world, pid);
    }
    world.iter().for_each(|(pid, memory)| builder.vmas(pid.0, memory.vmas()));
    (builder, world)
}

fn set(world: &mut World, pid: u32, page: u64, content: u32) {
    world.entry(Pid(pid)).or_default().contents.insert(page, content);
}

#[test]
fn pages_of_parent_and_children_are_one() {
    let (builder, world) = family(20, |_, _| {});
    assert_eq!(restored(builder, &world), Ok((12, 21 * 12)));
}

#[test]
fn what_one_has_written_is_its_own() {
    let (builder, world) = family(20, |world, pid| set(world, pid, 0x101, pid));
    assert_eq!(restored(builder, &world), Ok((12 + 20, 21 * 12)));
}

#[test]
fn siblings_share_what_their_parent_has_changed_since() {
    // Each five of them were made with the same page.
    let (builder, world) = family(20, |world, pid| {
        if pid % 5 == 0 {
            set(world, 100, 0x103, pid);
        }
    });
    assert_eq!(restored(builder, &world), Ok((12 + 4, 21 * 12)));
}

#[test]
fn siblings_share_what_their_parent_has_not_any_more() {
    let (builder, world) = family(6, |world, pid| {
        if pid == 106
            && let Some(parent) = world.get_mut(&Pid(100))
        {
            parent.mappings.remove(&0x118);
            parent.mappings.insert(0x100, (0x104, 0));
            parent.contents.retain(|page, _| *page < 0x104);
        }
    });
    assert_eq!(restored(builder, &world), Ok((12, 6 * 12 + 4)));
}

#[test]
fn another_mapping_in_the_way_costs_no_more_than_sharing() {
    let (builder, world) = family(6, |world, pid| {
        if pid % 2 == 0
            && let Some(child) = world.get_mut(&Pid(pid))
        {
            // The same pages by number, but of another sort.
            child.mappings.insert(0x100, (0x110, 1));
        }
    });
    let (frames, all) = restored(builder, &world).expect("it can be played");
    assert!(all == 7 * 12 && frames < all && frames >= 12, "{frames} of {all}");
}

#[test]
fn a_chain_and_a_grandchild_whose_parent_has_gone() {
    let mut builder = Builder::new(100);
    let (_, one) = family(0, |_, _| {});
    let mut world = one.clone();
    for pid in 101..140 {
        builder.process(pid, pid - 1, |_| {});
        world.insert(Pid(pid), one[&Pid(100)].clone());
    }
    // Its parent was 139, and it was given to the root.
    builder.process(140, 100, |_| {});
    world.insert(Pid(140), one[&Pid(100)].clone());
    set(&mut world, 120, 0x100, 7);
    world.iter().for_each(|(pid, memory)| builder.vmas(pid.0, memory.vmas()));
    // One that has written is no obstacle for those below.
    assert_eq!(restored(builder, &world), Ok((12 + 1, 41 * 12)));
}
