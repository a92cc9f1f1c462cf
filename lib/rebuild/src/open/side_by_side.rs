//! Files that need nothing of each other are opened by several threads, where there are many.

use super::{OpenFiles, high, place_of_late};
use crate::{factory::with_async, object::nameless, resource};
use floe_plan::Step;
use floe_records::{Kind, Object, ObjectKind, OpenFile};
use floe_sys::Filled;
use floe_worker_pool::parallel::each;
use std::os::fd::AsFd;

/// Files from which on several threads open them.
const MANY: usize = 256;
/// What else is opened while they are.
const OTHERS: u32 = 64;

impl OpenFiles<'_> {
    /// What is done before the first step, where files are many: room is made, numbers are taken, and memfds made. The numbers are given
    /// back with what this gives.
    pub(super) fn begin_side_by_side(&mut self) -> Option<Filled> {
        let count = self.tree.all::<OpenFile>().len().max(self.tree.all::<Object>().len());
        // Where there is none, it only takes longer.
        let has_room = count >= MANY && self.make_room(count);
        let filled = if has_room { self.fill_low_numbers() } else { None };
        self.make_side_by_side();
        filled
    }

    /// Makes memfds before their turn: nothing else is needed for one.
    fn make_side_by_side(&mut self) {
        let (tree, stands) = (self.tree, &self.make.stands);
        let is_memfd = |object: &&Object| matches!(object.kind, ObjectKind::Memfd(..));
        let all: Vec<&Object> = tree.all::<Object>().iter().filter(is_memfd).collect();
        if all.len() < MANY {
            return;
        }
        let made = each(&all, |object| (object.id, nameless::memfd(object, tree, stands)));
        self.make.ahead = made.into_iter().collect();
    }

    /// Opens those of the steps that can be opened in any order, before their turn.
    pub(super) fn open_side_by_side(&mut self, steps: &[Step]) {
        let open = |step: &Step| match *step {
            Step::Open(id, kind) => Some((self.tree.get::<OpenFile>(id)?, kind)),
            _ => None,
        };
        let all = steps.iter().filter_map(open);
        let all: Vec<(&OpenFile, Kind)> =
            all.filter(|(open, _)| !self.late.contains(&open.id)).collect();
        if all.len() < MANY {
            return;
        }
        let (tree, stands, base) = (self.tree, &self.make.stands, self.base);
        let opened = each(&all, |(open, kind)| {
            let opened = resource::open_alone(open, *kind, (tree, stands))?;
            let opened = opened.and_then(|fd| with_async(fd, open));
            Some((open.id, opened.and_then(|fd| high(base, fd))))
        });
        self.opened = opened.into_iter().flatten().collect();
    }

    /// Takes all numbers below those that the files of a tree are kept at, where they are many and nothing of the tree has a higher number:
    /// else each would be opened under a low number first.
    fn fill_low_numbers(&self) -> Option<Filled> {
        let count = self.tree.all::<OpenFile>().len();
        let enough = count >= MANY && (self.base as usize) < 4 * count;
        let fits = enough && !floe_plan::uses(self.tree, self.base..=u32::MAX);
        // Where the numbers are not to be had, they are given one by one.
        if fits { Filled::below(self.base).ok() } else { None }
    }

    /// Has the table of descriptors grow before several threads have it: from then on the kernel waits for all CPUs when it does.
    /// Whether this many files, and what else is opened meanwhile, have room in it above those that are kept for the tree.
    fn make_room(&self, count: usize) -> bool {
        let wanted = u64::from(self.base) + 2 * count as u64 + u64::from(OTHERS);
        // There may be no numbers that high.
        let most = floe_sys::get_limit(0, libc::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let number = i32::try_from(wanted.min(most.saturating_sub(1)));
        let (Ok(place), Ok(number)) = (place_of_late(), number) else { return false };
        floe_sys::duplicate_from(place.as_fd(), number).is_ok() && wanted < most
    }
}
