//! Work in other threads on what the first thread goes on to find; the results come back in its order.

use crate::{lock, parallel::cores};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::{Builder, scope},
};

/// Things that wait for a thread: no more, so that memory does not grow where the threads are slower.
const WAITING: usize = 4;

/// Where things are given away to be worked on, each by a number.
pub struct InOrder<'a, T, R> {
    work: &'a dyn Fn(T) -> R,
    /// Starts the other threads; `None` where none can be had.
    start: &'a dyn Fn() -> Option<Others<T, R>>,
    /// They are started with the second thing: one alone is done sooner here.
    others: Option<Others<T, R>>,
    first: Option<T>,
    /// How many have been given.
    given: usize,
    /// How many results have been taken.
    taken: usize,
    done: BTreeMap<usize, R>,
}

/// The way to the other threads and back.
type Others<T, R> = (SyncSender<(usize, T)>, Receiver<(usize, R)>);

/// Runs `feed` in this thread; what it gives is worked on by others, and by this one where those have enough to do.
pub fn in_order<T: Send, R: Send, X>(
    work: impl Fn(T) -> R + Sync,
    feed: impl FnOnce(&mut InOrder<'_, T, R>) -> X,
) -> X {
    let (jobs, queue) = sync_channel::<(usize, T)>(WAITING);
    let (queue, jobs) = (Mutex::new(queue), Mutex::new(Some(jobs)));
    scope(|scope| {
        let (queue, work) = (&queue, &work);
        let start = || {
            let ((results, done), mut started) = (channel(), false);
            for _ in 1..cores() {
                let results = results.clone();
                let run = move || {
                    loop {
                        let next = lock(queue).recv();
                        let Ok((at, job)) = next else { return };
                        // Who fed us may have failed.
                        if results.send((at, work(job))).is_err() {
                            return;
                        }
                    }
                };
                // Where one cannot be had, the others do its part.
                started |= Builder::new().spawn_scoped(scope, run).is_ok();
            }
            let jobs = lock(&jobs).take().filter(|_| started);
            jobs.map(|jobs| (jobs, done))
        };
        let (others, first, done) = (None, None, BTreeMap::new());
        let start: &dyn Fn() -> Option<Others<T, R>> = &start;
        feed(&mut InOrder { work, start, others, first, given: 0, taken: 0, done })
    })
}

impl<T, R> InOrder<'_, T, R> {
    /// Has a thing worked on.
    pub fn give(&mut self, thing: T) {
        let at = self.given;
        self.given += 1;
        if at == 0 {
            self.first = Some(thing);
            return;
        }
        if let Some(first) = self.first.take() {
            self.others = (self.start)();
            self.pass_on(0, first);
        }
        self.pass_on(at, thing);
    }

    fn pass_on(&mut self, at: usize, thing: T) {
        let sent = match &self.others {
            Some((jobs, _)) => jobs.try_send((at, thing)),
            None => Err(TrySendError::Full((at, thing))),
        };
        if let Err(TrySendError::Full((at, thing)) | TrySendError::Disconnected((at, thing))) = sent
        {
            self.done.insert(at, (self.work)(thing));
        }
    }

    /// Those results that are next and are there.
    pub fn ready(&mut self) -> Vec<R> {
        if let Some((_, results)) = &self.others {
            self.done.extend(results.try_iter());
        }
        let mut ready = Vec::new();
        while let Some(next) = self.done.remove(&self.taken) {
            self.taken += 1;
            ready.push(next);
        }
        ready
    }

    /// All that were not taken yet. What is given afterwards is done here.
    pub fn rest(&mut self) -> Vec<R> {
        if let Some(first) = self.first.take() {
            self.done.insert(0, (self.work)(first));
        }
        if let Some((jobs, results)) = self.others.take() {
            drop(jobs);
            self.done.extend(results.iter());
        }
        self.ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 2, 3, 50, 2000] {
            let all = in_order(
                |n: u64| {
                    (0..n % 7 * 1000).fold(n, |a, b| a ^ b)
                        ^ (0..n % 7 * 1000).fold(0, |a, b| a ^ b)
                },
                |work| {
                    let mut all = Vec::new();
                    for n in 0..count {
                        work.give(n);
                        all.extend(work.ready());
                    }
                    all.extend(work.rest());
                    all
                },
            );
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_gives_up_waits_for_nobody() {
        let found = in_order(
            |n: u32| n,
            |work| {
                (0..20).for_each(|n| work.give(n));
                "enough"
            },
        );
        assert_eq!(found, "enough");
    }
}
