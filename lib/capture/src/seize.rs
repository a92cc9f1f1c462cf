//! Stopping a tree that may grow while it is being stopped.
//!
//! A stopped thread makes no children and no threads, so a scan that finds nothing new has seen everything. One
//! thread cannot be stopped while it waits: the parent in vfork(2), for a child that uses its memory until it calls
//! execve(2) or ends. Such a child is let go again until its parent stands.

use crate::{
    Error, Result,
    frozen::{Frozen, Thawed},
    held::release,
    look,
    rule::state,
    subject,
};
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
/// Rounds without progress, while every thread that is left waits for a child of vfork(2), which may never come to an end.
const BORROWED: u32 = 100;
/// The same, while every thread that is left is in another uninterruptible wait: for a disk, or for memory that must be
/// written to one first. Under load that takes seconds.
const STUCK: u32 = 1000;
/// Rounds in which no task is found or stopped, whatever they wait for.
const SLOW: u32 = 3000;

/// What the threads that are left wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// One of them at least only needs a CPU.
    Cpu,
    /// All are in an uninterruptible wait.
    Kernel,
    /// All are, and some for a child that has their memory.
    Child,
}

/// Whether a tree comes to a stand, told by what happens and not by the clock: a machine may be slow.
#[derive(Default)]
struct Progress {
    /// Rounds in which tasks were found that had never been met.
    growth: u32,
    /// Rounds since a task was found, or stopped, for the first time.
    still: u32,
    /// Those of them in which no thread that waits has gone from one wait to another either.
    quiet: u32,
}

impl Progress {
    /// Notes a round: the number of tasks that were found and that stopped for the first time, and whether a thread that waits
    /// has gone from one wait to another.
    fn round(&mut self, found: usize, stopped: usize, moved: bool) {
        self.growth += u32::from(found > 0);
        self.still = if found + stopped > 0 { 0 } else { self.still + 1 };
        self.quiet = if moved { 0 } else { self.still.min(self.quiet + 1) };
    }

    /// Whether the next round may bring something.
    fn may_go_on(&self, wait: Wait) -> bool {
        let quiet = match wait {
            Wait::Cpu => SLOW,
            Wait::Kernel => STUCK,
            Wait::Child => BORROWED,
        };
        self.growth <= GROWTH && self.still <= SLOW && self.quiet <= quiet
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
    /// How often each of those that wait has given up its CPU.
    switches: BTreeMap<u32, u64>,
    /// Cgroups that are thawed when what is in them was asked to stop.
    frozen: Option<Frozen>,
    thawed: Thawed,
}

/// What was stopped: processes, parents first, each with the thread whose child it is, their threads, and the cgroups that
/// were thawed for it.
pub(crate) type Stopped = (Vec<(u32, u32)>, BTreeMap<u32, Tracee>, Thawed);

/// Stops every thread of every process below and including `root`.
pub(crate) fn stop(root: u32, frozen: Frozen) -> Result<Stopped> {
    let mut stop = TreeStop { frozen: Some(frozen), ..TreeStop::default() };
    match stop.run(root) {
        Ok(pids) => Ok((pids, stop.seized, stop.thawed)),
        Err(error) => {
            // The first failure tells what went wrong. Threads that do not stand by now are let go when this one ends.
            let _ = stop.wait();
            drop(stop.thawed);
            release(stop.seized.into_values());
            Err(error)
        }
    }
}

impl TreeStop {
    fn run(&mut self, root: u32) -> Result<Vec<(u32, u32)>> {
        let mut progress = Progress::default();
        loop {
            let before = (self.pids.len(), self.stopped.len());
            let mut new = Vec::new();
            let pids = look::family_with(root, &mut |pid, tids| {
                for &tid in tids {
                    if self.is_new(tid)? {
                        self.pids.insert(tid, pid);
                        new.push(tid);
                    }
                }
                Ok(())
            })?;
            if new.is_empty() && self.asked.is_empty() {
                return Ok(pids);
            }
            self.ask(&new)?;
            if let Some(frozen) = self.frozen.take() {
                self.thawed = frozen.thaw()?;
            }
            self.wait()?;
            let wait = self.let_borrowers_go()?;
            let moved = self.moved()?;
            progress.round(self.pids.len() - before.0, self.stopped.len() - before.1, moved);
            if !progress.may_go_on(wait) {
                return Err(self.no_progress(root));
            }
        }
    }

    fn is_new(&self, tid: u32) -> floe_sys::Result<bool> {
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

    /// Waits until all that were asked stand, or for a round. A failure at one of them keeps nothing from the others.
    fn wait(&mut self) -> Result<()> {
        let mut pauses = Pauses::default();
        loop {
            let mut done = Ok(());
            for (tid, asked) in std::mem::take(&mut self.asked) {
                done = done.and(self.poll(tid, asked));
            }
            done?;
            if self.asked.is_empty() || !pauses.pause(ROUND) {
                return Ok(());
            }
        }
    }

    fn poll(&mut self, tid: u32, asked: PendingStop) -> Result<()> {
        match unless_gone(asked.poll())? {
            Some(Polled::Pending(asked)) => drop(self.asked.insert(tid, asked)),
            Some(Polled::Stopped(tracee)) => self.take(tid, tracee)?,
            None => {}
        }
        Ok(())
    }

    fn take(&mut self, tid: u32, mut tracee: Tracee) -> Result<()> {
        // Filters only now that it stands: while it ran it would have been free of them. Whatever fails, its call is kept.
        let suspended = tracee.suspend_seccomp(OPTIONS);
        let recovered = recover(&mut tracee);
        let kept = keep_call(&mut tracee).or_else(|_| keep_call(&mut tracee));
        let ready = unless_gone(suspended.and(recovered).and(kept));
        let gone = matches!(ready, Ok(None));
        if !gone {
            self.seized.insert(tid, tracee);
            self.stopped.insert(tid);
        }
        Ok(ready.map(drop)?)
    }

    /// Whether one of those that do not stand yet has given up its CPU since the last round.
    fn moved(&mut self) -> Result<bool> {
        let mut now = BTreeMap::new();
        for &tid in self.asked.keys() {
            let status = subject::unless_gone(floe_proc::Status::of(tid).map(Some))?;
            if let Some(status) = status {
                now.insert(tid, status.number("voluntary_ctxt_switches")?);
            }
        }
        let before = std::mem::replace(&mut self.switches, now);
        Ok(self.switches.iter().any(|(tid, now)| before.get(tid).is_some_and(|was| was != now)))
    }

    /// Lets those processes go whose memory a thread of another one waits for. Says what the threads that are left wait for.
    fn let_borrowers_go(&mut self) -> Result<Wait> {
        let (mut waiting, mut all_wait) = (BTreeSet::new(), true);
        for &tid in self.asked.keys() {
            // Others are only slow.
            if subject::stat(tid)?.is_some_and(|stat| stat.state == b'D') {
                waiting.extend(self.pids.get(&tid));
            } else {
                all_wait = false;
            }
        }
        let wait = if all_wait { Wait::Kernel } else { Wait::Cpu };
        if waiting.is_empty() {
            return Ok(wait);
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
        Ok(if all_wait && !borrowers.is_empty() { Wait::Child } else { wait })
    }

    fn no_progress(&self, root: u32) -> Error {
        let stuck: Vec<_> = self.asked.keys().map(|tid| state::waiting_thread(*tid)).collect();
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
    fn rounds(each: &[(usize, usize, bool)], wait: Wait) -> u32 {
        let mut progress = Progress::default();
        let all = each.iter().chain(each.last().into_iter().cycle());
        let mut go_on = |&(found, stopped, moved): &(usize, usize, bool)| {
            progress.round(found, stopped, moved);
            progress.may_go_on(wait)
        };
        all.take(10 * SLOW as usize).take_while(|round| go_on(round)).count() as u32
    }

    #[test]
    fn progress_counts_and_not_time() {
        let nothing = [(64, 0, false), (0, 0, false)];
        assert_eq!(rounds(&nothing, Wait::Child), BORROWED + 1, "a child keeps the memory");
        assert_eq!(rounds(&nothing, Wait::Kernel), STUCK + 1, "nothing stops");
        assert_eq!(rounds(&nothing, Wait::Cpu), SLOW + 1, "all wait for a CPU");
        let waits = [(64, 0, false), (0, 0, true)];
        assert_eq!(rounds(&waits, Wait::Kernel), SLOW + 1, "from one wait into the next");
        assert_eq!(rounds(&[(1, 1, false)], Wait::Kernel), GROWTH, "one more with each that stops");
        let slowly: Vec<_> = (0..64)
            .flat_map(|_| {
                vec![(0, 0, false); STUCK as usize - 1].into_iter().chain([(0, 1, false)])
            })
            .collect();
        assert_eq!(rounds(&slowly, Wait::Kernel), 10 * SLOW, "one by one they come to a stand");
    }
}
