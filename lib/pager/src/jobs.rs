//! What is to be filled next: what somebody waits for, else what comes next in order.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Runs that wait, for several threads.
pub struct Jobs {
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    urgent: VecDeque<u32>,
    order: VecDeque<u32>,
    /// How many of them may be filled in any case.
    early: usize,
    /// Those that a thread is about to fill.
    busy: BTreeSet<u32>,
    /// Whether what nobody waits for is filled.
    open: bool,
    /// Before that nothing is.
    strict: bool,
    over: bool,
}

impl Jobs {
    /// Those of `order` come when [`Jobs::open`] has been called, the first ones at once.
    /// `strict`: before that, nothing comes.
    pub fn new(order: &[u32], early: usize, strict: bool) -> Self {
        let (urgent, order) = (VecDeque::new(), order.iter().copied().collect());
        let busy = BTreeSet::new();
        let state = State { urgent, order, early, busy, open: false, strict, over: false };
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    /// The next one, which nobody else is about to fill; `None` when all is over. Who gets it says when it is done.
    pub fn next(&self) -> Option<u32> {
        let mut state = self.lock();
        loop {
            if state.over {
                return None;
            }
            let State { urgent, order, early, open, strict, busy, .. } = &mut *state;
            let urgent = if *strict && !*open { None } else { urgent.pop_front() };
            let run = urgent.or_else(|| {
                let may = *open || *early > 0;
                *early = early.saturating_sub(1);
                if may { order.pop_front() } else { None }
            });
            match run {
                Some(run) if busy.insert(run) => return Some(run),
                Some(_) => {}
                None => state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// It has been filled wherever it belongs.
    pub fn done(&self, run: u32) {
        self.lock().busy.remove(&run);
    }

    /// Somebody waits for it.
    pub fn hurry(&self, run: u32) {
        let mut state = self.lock();
        if !state.busy.contains(&run) && !state.urgent.contains(&run) {
            state.urgent.push_back(run);
            self.bell.notify_one();
        }
    }

    /// What nobody waits for may be filled from now on.
    pub fn open(&self) {
        self.lock().open = true;
        self.bell.notify_all();
    }

    /// Nothing more is to be done.
    pub fn end(&self) {
        self.lock().over = true;
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_waits_for_comes_first() {
        let jobs = Jobs::new(&[0, 1, 2], 0, false);
        jobs.hurry(2);
        jobs.hurry(2);
        assert_eq!(jobs.next(), Some(2));
        jobs.hurry(2);
        jobs.open();
        assert_eq!(jobs.next(), Some(0), "nobody fills one twice at a time");
        jobs.done(2);
        jobs.hurry(2);
        assert_eq!(jobs.next(), Some(2));
        assert_eq!(jobs.next(), Some(1));
        jobs.end();
        assert_eq!(jobs.next(), None);
    }

    #[test]
    fn the_first_ones_need_no_opening() {
        let jobs = Jobs::new(&[4, 5, 6], 2, false);
        assert_eq!((jobs.next(), jobs.next()), (Some(4), Some(5)));
        jobs.hurry(9);
        assert_eq!(jobs.next(), Some(9));
        jobs.open();
        assert_eq!(jobs.next(), Some(6));
    }
}
