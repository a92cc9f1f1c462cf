//! Stopping a tree that may grow while it is being stopped.
//!
//! A stopped thread makes no children and no threads, so a scan that finds nothing new has seen everything. One
//! thread cannot be stopped while it waits: the parent in vfork(2), for a child that uses its memory until it calls
//! execve(2) or ends. Such a child is let go again until its parent stands.

use crate::{Error, Result, held::release, look, rule::state, subject};
use floe_records::{Finding, Pid};
use floe_sys::{Shared, kcmp_shared};
use floe_tracee::{OPTIONS, Pauses, PendingStop, Polled, Tracee, keep_call, recover};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long threads may take to stop before it is asked what they wait for.
const ROUND: Duration = Duration::from_millis(20);
/// Rounds in which a tree may grow. One in which every thread stands cannot.
const GROWTH: u32 = 1000;
/// Rounds without progress, while every thread that is left is in an uninterruptible wait.
const STUCK: u32 = 100;
/// Rounds without progress, while one is left that only needs a CPU.
const SLOW: u32 = 3000;

/// Whether a tree comes to a stand, told by what happens and not by the clock: a machine may be slow.
#[derive(Default)]
struct Progress {
    /// Rounds in which tasks were found that had never been met.
    growth: u32,
    /// Rounds since a task was found, or stopped, for the first time.
    still: u32,
}

impl Progress {
    /// Notes a round: the number of tasks that were found and that stopped for the first time.
    fn round(&mut self, found: usize, stopped: usize) {
        self.growth += u32::from(found > 0);
        self.still = if found + stopped > 0 { 0 } else { self.still + 1 };
    }

    /// Whether the next round may bring something. `waits`: every thread that is left is in an uninterruptible wait.
    fn may_go_on(&self, waits: bool) -> bool {
        self.growth <= GROWTH && self.still <= if waits { STUCK } else { SLOW }
    }
}

/// Threads by tid.
#[derive(Default)]
struct TreeStop {
    seized: BTreeMap<u32, Tracee>,
    asked: BTreeMap<u32, PendingStop>,
    /// The process of each thread that was met.
    pids: BTreeMap<u32, u32>,
    /// Those that had ended when they were met.
    ended: BTreeSet<u32>,
    /// Those that have stood at any time.
    stopped: BTreeSet<u32>,
}

/// Stops every thread of every process below and including `root`. Gives the processes, parents first, and the
/// threads.
pub(crate) fn stop(root: u32) -> Result<(Vec<u32>, BTreeMap<u32, Tracee>)> {
    let mut stop = TreeStop::default();
    match stop.run(root) {
        Ok(pids) => Ok((pids, stop.seized)),
        Err(error) => {
            // The first failure tells what went wrong. Threads that do not stand by now are let go when this one ends.
            let _ = stop.wait();
            release(stop.seized.into_values());
            Err(error)
        }
    }
}

impl TreeStop {
    fn run(&mut self, root: u32) -> Result<Vec<u32>> {
        let mut progress = Progress::default();
        loop {
            let before = (self.pids.len(), self.stopped.len());
            let pids = look::tree(root)?;
            let mut new = Vec::new();
            for &pid in &pids {
                for tid in subject::tids(pid)? {
                    if self.is_new(tid)? {
                        self.pids.insert(tid, pid);
                        new.push(tid);
                    }
                }
            }
            if new.is_empty() && self.asked.is_empty() {
                return Ok(pids);
            }
            self.ask(&new)?;
            self.wait()?;
            let waits = self.let_borrowers_go()?;
            progress.round(self.pids.len() - before.0, self.stopped.len() - before.1);
            if !progress.may_go_on(waits) {
                return Err(self.no_progress(root));
            }
        }
    }

    fn is_new(&self, tid: u32) -> Result<bool> {
        let known = self.seized.contains_key(&tid) || self.asked.contains_key(&tid);
        // Its id may be another thread's by now. (Of the others, seizing them tells.)
        let dead = !known && self.ended.contains(&tid) && floe_proc::is_dead(tid)?;
        Ok(!known && !dead)
    }

    fn ask(&mut self, tids: &[u32]) -> Result<()> {
        for &tid in tids {
            let seized = PendingStop::seize(tid as i32, OPTIONS);
            if seized.as_ref().is_err_and(|e| e.errno() == Some(libc::EPERM))
                && let Some(tracer) = tracer(tid)?
            {
                return Err(Error::refuse(state::traced(tid, tracer)));
            }
            match unless_gone(seized).map_err(|e| look::untraceable(e.into()))? {
                Some(asked) => drop(self.asked.insert(tid, asked)),
                None => drop(self.ended.insert(tid)),
            }
        }
        Ok(())
    }

    /// Waits until all that were asked stand, or for a round.
    fn wait(&mut self) -> Result<()> {
        let mut pauses = Pauses::default();
        loop {
            for (tid, asked) in std::mem::take(&mut self.asked) {
                match unless_gone(asked.poll())? {
                    Some(Polled::Pending(asked)) => drop(self.asked.insert(tid, asked)),
                    Some(Polled::Stopped(tracee)) => self.take(tid, tracee)?,
                    None => {}
                }
            }
            if self.asked.is_empty() || !pauses.pause(ROUND) {
                return Ok(());
            }
        }
    }

    fn take(&mut self, tid: u32, mut tracee: Tracee) -> Result<()> {
        // Only now that it stands: while it ran it would have been free of its filters.
        let ready = tracee.suspend_seccomp(OPTIONS).and_then(|()| recover(&mut tracee));
        let ready = unless_gone(ready.and_then(|()| keep_call(&mut tracee)));
        let gone = matches!(ready, Ok(None));
        if !gone {
            self.seized.insert(tid, tracee);
            self.stopped.insert(tid);
        }
        Ok(ready.map(drop)?)
    }

    /// Lets those processes go whose memory a thread of another one waits for. Says whether every thread that is left
    /// is in an uninterruptible wait.
    fn let_borrowers_go(&mut self) -> Result<bool> {
        let (mut waiting, mut all_wait) = (BTreeSet::new(), true);
        for &tid in self.asked.keys() {
            // Others are only slow.
            if subject::stat(tid)?.is_some_and(|stat| stat.state == b'D') {
                waiting.extend(self.pids.get(&tid));
            } else {
                all_wait = false;
            }
        }
        if waiting.is_empty() {
            return Ok(all_wait);
        }
        let seized: BTreeSet<u32> =
            self.seized.keys().filter_map(|tid| self.pids.get(tid)).copied().collect();
        let shared = |one: u32, other: u32, what| {
            kcmp_shared(one as i32, other as i32, what).is_ok_and(|order| order == Ordering::Equal)
        };
        let borrows = |pid: &u32| waiting.iter().any(|w| w != pid && shared(*w, *pid, Shared::Vm));
        let borrowers: BTreeSet<u32> = seized.into_iter().filter(borrows).collect();
        let of_a_borrower =
            |tid: &u32| self.pids.get(tid).is_some_and(|pid| borrowers.contains(pid));
        let released = self.seized.extract_if(.., |tid, _| of_a_borrower(tid));
        release(released.map(|(_, tracee)| tracee));
        Ok(all_wait)
    }

    fn no_progress(&self, root: u32) -> Error {
        let stuck = self.asked.keys().map(|&tid| {
            let problem = "it is in an uninterruptible wait (for a disk, or in vfork(2))";
            let finding = Finding::of(Pid(tid), "the thread", "thread.waits", problem);
            finding.hint("try again")
        });
        let stuck: Vec<_> = stuck.collect();
        if stuck.is_empty() {
            let problem = "it grew as fast as it was stopped";
            let finding = Finding::of(Pid(root), "the tree", "tree.grows", problem);
            return Error::refuse(finding.hint("try again, or stop it from growing"));
        }
        floe_records::Refusals(stuck).into()
    }
}

/// Who traces a thread, where that is not ourselves.
fn tracer(tid: u32) -> Result<Option<u32>> {
    let status = subject::unless_gone(floe_proc::Status::of(tid).map(Some))?;
    let tracer = status.map(|status| status.tracer()).transpose()?.flatten();
    Ok(tracer.filter(|tracer| *tracer != std::process::id()))
}

/// `None` for a thread that has ended.
fn unless_gone<T>(result: floe_sys::Result<T>) -> floe_sys::Result<Option<T>> {
    match result {
        Err(e) if e.is_gone() => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rounds are made of these, the last one again and again.
    fn rounds(each: &[(usize, usize)], waits: bool) -> u32 {
        let mut progress = Progress::default();
        let all = each.iter().chain(each.last().into_iter().cycle());
        let mut go_on = |&(found, stopped): &(usize, usize)| {
            progress.round(found, stopped);
            progress.may_go_on(waits)
        };
        all.take(10 * SLOW as usize).take_while(|round| go_on(round)).count() as u32
    }

    #[test]
    fn progress_counts_and_not_time() {
        assert_eq!(rounds(&[(64, 0), (0, 0)], true), STUCK + 1, "nothing stops");
        assert_eq!(rounds(&[(64, 0), (0, 0)], false), SLOW + 1, "all wait for a CPU");
        assert_eq!(rounds(&[(1, 1)], true), GROWTH, "one more with each that stops");
        let slowly: Vec<_> = (0..64)
            .flat_map(|_| vec![(0, 0); STUCK as usize - 1].into_iter().chain([(0, 1)]))
            .collect();
        assert_eq!(rounds(&slowly, true), 10 * SLOW, "one by one they come to a stand");
    }
}
