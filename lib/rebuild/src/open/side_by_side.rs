//! Files that need nothing of each other are opened by several threads, where there are many.

use super::{OpenFiles, high, place_of_late};
use crate::{factory::with_async, resource};
use floe_plan::Step;
use floe_records::{Kind, OpenFile};
use floe_sys::Filled;
use floe_worker_pool::parallel::each;
use std::os::fd::AsFd;

/// Files from which on several threads open them.
const MANY: usize = 256;
/// What else is opened while they are.
const OTHERS: u32 = 64;

impl OpenFiles<'_> {
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
        self.make_room(all.len());
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
    pub(super) fn fill_low_numbers(&self) -> Option<Filled> {
        let count = self.tree.all::<OpenFile>().len();
        let (base, last) = (self.base, self.last_to_be(count));
        let enough = count >= MANY && (base as usize) < 4 * count;
        if !enough || floe_plan::uses(self.tree, base..=u32::MAX) {
            return None;
        }
        let place = place_of_late().ok()?;
        // Where the numbers are not to be had, they are given one by one.
        drop(floe_sys::duplicate_from(place.as_fd(), i32::try_from(last).ok()?).ok()?);
        Filled::below(base).ok()
    }

    /// A number above those that this many files come to have.
    fn last_to_be(&self, count: usize) -> u32 {
        self.base.saturating_add(2 * count as u32).saturating_add(OTHERS)
    }

    /// Has the table of descriptors grow before several threads have it: from then on the kernel waits for all CPUs when it does.
    fn make_room(&self, count: usize) {
        let last = self.last_to_be(count);
        // Where it is not to be had, it only takes longer.
        if let (Ok(place), Ok(last)) = (place_of_late(), i32::try_from(last)) {
            let _ = floe_sys::duplicate_from(place.as_fd(), last);
        }
    }
}
