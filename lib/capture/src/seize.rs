//! Stopping a tree that may grow while it is being stopped.
//!
//! A stopped thread makes no children and no threads, so a scan that finds nothing new has seen everything. One
//! thread cannot be stopped while it waits: the parent in vfork(2), for a child that uses its memory until it calls
//! execve(2) or ends. Such a child is let go again until its parent stands.

use crate::{Error, Result, look, rule::state, subject, tree::release};
use floe_records::{Finding, Pid};
use floe_sys::{Shared, kcmp_shared};
use floe_tracee::{OPTIONS, Pauses, PendingStop, Polled, Tracee, recover};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How long we run after a tree.
const CHASE: Duration = Duration::from_secs(1);
/// How long threads may take to stop before it is asked what they wait for.
const ROUND: Duration = Duration::from_millis(20);

/// Threads by tid.
#[derive(Default)]
struct Chase {
    seized: BTreeMap<u32, Tracee>,
    asked: BTreeMap<u32, PendingStop>,
    /// The process of each thread that was met.
    pids: BTreeMap<u32, u32>,
    /// Those that had ended when they were met.
    ended: BTreeSet<u32>,
}

/// Stops every thread of every process below and including `root`. Gives the processes, parents first, and the
/// threads.
pub(crate) fn stop(root: u32) -> Result<(Vec<u32>, BTreeMap<u32, Tracee>)> {
    let mut chase = Chase::default();
    match chase.run(root) {
        Ok(pids) => Ok((pids, chase.seized)),
        Err(error) => {
            // Those that have been asked are let go when this thread ends.
            release(chase.seized.into_values());
            Err(error)
        }
    }
}

impl Chase {
    fn run(&mut self, root: u32) -> Result<Vec<u32>> {
        let begin = Instant::now();
        loop {
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
            if begin.elapsed() > CHASE {
                return Err(self.too_late(root));
            }
            self.ask(&new)?;
            self.wait()?;
            self.let_borrowers_go()?;
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
            match unless_gone(seized)? {
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
        let recovered = unless_gone(recover(&mut tracee));
        let gone = matches!(recovered, Ok(None));
        if !gone {
            self.seized.insert(tid, tracee);
        }
        Ok(recovered.map(drop)?)
    }

    /// Lets those processes go whose memory a thread of another one waits for.
    fn let_borrowers_go(&mut self) -> Result<()> {
        let mut waiting = BTreeSet::new();
        for &tid in self.asked.keys() {
            // Others are only slow.
            if subject::stat(tid)?.is_some_and(|stat| stat.state == b'D') {
                waiting.extend(self.pids.get(&tid));
            }
        }
        if waiting.is_empty() {
            return Ok(());
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
        Ok(())
    }

    fn too_late(&self, root: u32) -> Error {
        let stuck = self.asked.keys().map(|&tid| {
            let problem = "it is in an uninterruptible wait (for a disk, or in vfork(2))";
            let finding = Finding::of(Pid(tid), "the thread", "thread.waits", problem);
            finding.hint("try again")
        });
        let stuck: Vec<_> = stuck.collect();
        if stuck.is_empty() {
            let problem = "it grew faster than it could be stopped within a second";
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
