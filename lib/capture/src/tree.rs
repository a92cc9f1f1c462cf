//! A whole process tree that stands still, and its records.

use crate::{
    Error, Result, ask, chase, creds,
    files::SocketRules,
    fs, limits, mm,
    preflight::{self, refusal},
    proc::{self, Stat, Status},
    process, sched, sharing, signals, thread, timers, vmas,
};
use floe_parasite::{InjectedRunner, PayloadLayout, PtraceRunner, Runner};
use floe_records::*;
use floe_tracee::{RemoteCall, RemoteSession, Scratch, Tracee};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Scratch memory for the answers; batches that need more run in pieces.
const SCRATCH: usize = 16 << 10;
/// VMAs to a record.
const VMAS: usize = 1024;

/// A process that is held.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub pid: u32,
    /// Its threads, the leader first; empty for a zombie.
    pub threads: Vec<Tracee>,
    /// Its wait status, for a zombie.
    pub zombie: Option<u32>,
}

/// A tree that is held by this thread, parents before children. When the thread ends, all of it runs on.
#[derive(Debug)]
pub struct Tree(Vec<Held>);

/// All records of one process, to be written in this order.
#[derive(Debug)]
pub struct ProcessRecords {
    /// Ids and relations.
    pub process: Process,
    /// What only a living process has.
    pub living: Option<Living>,
}

/// Records of a process that is no zombie.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Living {
    pub mm: Mm,
    pub vmas: Vec<Vmas>,
    pub fs: Fs,
    pub limits: Limits,
    pub signals: ProcessSignals,
    pub timers: Timers,
    pub threads: Vec<(Thread, ThreadSignals, Creds, Sched)>,
}

impl Tree {
    /// Stops every thread of every process below and including `root`.
    pub fn seize(root: u32) -> Result<Self> {
        let (pids, seized) = chase::stop(root)?;
        Self::arrange(root, &pids, seized)
    }

    fn arrange(root: u32, pids: &[u32], mut seized: BTreeMap<u32, Tracee>) -> Result<Self> {
        let mut all = Vec::new();
        let mut refusals = Vec::new();
        for &pid in pids {
            let stat = Stat::of(pid)?;
            let mut threads: Vec<Tracee> =
                proc::tids(pid).iter().filter_map(|tid| seized.remove(tid)).collect();
            threads.sort_by_key(|t| t.tid() as u32 != pid);
            if stat.is_dead() && (pid == root || !threads.is_empty()) {
                refusals.push(refusal(pid, "the process", "it, or its main thread, has ended", ""));
            }
            let zombie = stat.is_dead().then(|| stat.field(52) as u32);
            all.push(Held { pid, threads, zombie });
        }
        // Threads that were killed meanwhile are nobody's any more.
        release(seized.into_values());
        let tree = Self(all);
        if refusals.is_empty() {
            return Ok(tree);
        }
        tree.detach();
        Err(Refusals(refusals).into())
    }

    /// The processes, parents before children.
    pub fn processes(&self) -> &[Held] {
        &self.0
    }

    /// How many threads are held.
    pub fn threads(&self) -> usize {
        self.0.iter().map(|p| p.threads.len()).sum()
    }

    /// XCR0 as the kernel notes it in each extended state block.
    pub fn xfeatures(&self) -> Result<u64> {
        let Some(leader) = self.0.first().and_then(|p| p.threads.first()) else { return Ok(0) };
        let xstate = leader.xstate()?;
        Ok(xstate.get(464..472).and_then(|b| b.try_into().ok()).map_or(3, u64::from_ne_bytes))
    }

    /// All records. The processes are asked, and put back exactly as they were.
    pub fn capture(&mut self, rules: SocketRules) -> Result<Vec<ProcessRecords>> {
        let mut refusals = Vec::new();
        let pids: Vec<u32> = self.0.iter().map(|held| held.pid).collect();
        sharing::held(&pids, &mut refusals);
        let mut all = Vec::new();
        for held in &self.0 {
            match held.zombie {
                Some(status) => {
                    let process = process::process(held.pid, State::Zombie(status), None)?;
                    all.push(ProcessRecords { process, living: None });
                }
                None => all.push(living(held, rules, &mut refusals)?),
            }
        }
        if refusals.is_empty() { Ok(all) } else { Err(Refusals(refusals).into()) }
    }

    /// Sends a signal to every process.
    pub fn signal(&self, signal: i32) -> Result<()> {
        for held in self.0.iter().filter(|p| p.zombie.is_none()) {
            let pidfd = floe_sys::pidfd_open(held.pid as i32)?;
            floe_sys::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal)
                .map_err(|e| e.pid(held.pid))?;
        }
        Ok(())
    }

    /// Kills every process while it stands still, and waits until their ids are free. Gives the pids whose
    /// parent has not waited for them by then.
    pub fn kill(self, patience: Duration) -> Result<Vec<u32>> {
        self.signal(libc::SIGKILL)?;
        let pids: Vec<u32> = self.0.iter().map(|p| p.pid).collect();
        // A tracee that was killed is first reported to its tracer, and only then to its parent.
        // The end of a leader is told only when its other threads have been waited for.
        for tracee in self.0.into_iter().flat_map(|p| p.threads.into_iter().rev()) {
            // One that is gone has ended.
            let _ = tracee.wait_end();
        }
        let begin = Instant::now();
        loop {
            let left: Vec<u32> =
                pids.iter().copied().filter(|&pid| proc::path(pid, "stat").exists()).collect();
            if left.is_empty() || begin.elapsed() > patience {
                return Ok(left);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets everything run on.
    pub fn detach(self) {
        release(self.0.into_iter().flat_map(|p| p.threads));
    }
}

/// A thread that is gone needs no release.
pub(crate) fn release(tracees: impl IntoIterator<Item = Tracee>) {
    for tracee in tracees {
        let _ = tracee.detach();
    }
}

fn living(held: &Held, rules: SocketRules, refusals: &mut Vec<Refusal>) -> Result<ProcessRecords> {
    let pid = held.pid;
    // Read before anything is borrowed from the process, so that only its own shows.
    let layout = vmas::layout(pid)?;
    refusals.extend(layout.refusals);
    preflight::again(pid, rules, refusals)?;
    let definitions = timers::definitions(pid)?;
    let Some(leader) = held.threads.first() else {
        return Err(Error::refuse(refusal(pid, "the process", "it has no threads", "")));
    };
    let ids: Vec<u32> = definitions.iter().map(|t| t.id).collect();
    let (answers, by_thread) = questions(held, leader, &ids)?;
    let state = leader.stopped_by().map_or(State::Alive, |s| State::Stopped(s as u32));
    let mut threads = Vec::with_capacity(held.threads.len());
    for (tracee, answers) in held.threads.iter().zip(&by_thread) {
        let tid = tracee.tid() as u32;
        threads.push((
            thread::thread(pid, tracee, answers)?,
            signals::thread(pid, tracee, answers)?,
            creds::creds(pid, tid, answers)?,
            sched::sched(pid, tid)?,
        ));
    }
    let living = Living {
        mm: mm::mm(pid, answers.brk, &layout.vmas)?,
        fs: fs::fs_record(pid)?,
        limits: limits::limits(pid)?,
        signals: signals::process(pid, leader, &answers)?,
        timers: timers::timers(pid, definitions, &answers),
        threads,
        vmas: pieces(pid, layout.vmas),
    };
    Ok(ProcessRecords {
        process: process::process(pid, state, Some(&answers))?,
        living: Some(living),
    })
}

fn pieces(pid: u32, vmas: Vec<Vma>) -> Vec<Vmas> {
    vmas.chunks(VMAS).map(|some| Vmas { pid: Pid(pid), vmas: some.to_vec() }).collect()
}

/// Asks a process and its threads; what was borrowed is given back also when a question failed.
fn questions(
    held: &Held,
    leader: &Tracee,
    timer_ids: &[u32],
) -> Result<(ask::ProcessAnswers, Vec<ask::ThreadAnswers>)> {
    let caught = Status::of(held.pid)?.hex("SigCgt");
    let mut session = RemoteSession::begin(leader, SCRATCH, &PayloadLayout::MAPPINGS)?;
    let asked = ask_all(held, &mut session, caught, timer_ids);
    let ended = session.end();
    // Of two failures, the first tells what went wrong.
    let asked = asked?;
    ended?;
    Ok(asked)
}

fn ask_all(
    held: &Held,
    session: &mut RemoteSession,
    caught: u64,
    timer_ids: &[u32],
) -> floe_sys::Result<(ask::ProcessAnswers, Vec<ask::ThreadAnswers>)> {
    let (scratch, layout) = (session.scratch(), session.extra().map(PayloadLayout::at));
    layout.map(|layout| layout.fill(held.pid as i32)).transpose()?;
    let mut leader = runner(session.leader(), scratch, layout, caught);
    let (answers, first) = ask::leader(&mut *leader, timer_ids)?;
    drop(leader);
    let mut by_thread = vec![first];
    for tracee in &held.threads[1..] {
        let ask = |thread: &mut _| ask::thread(&mut *runner(thread, scratch, layout, caught));
        by_thread.push(session.thread(tracee, ask)?);
    }
    Ok((answers, by_thread))
}

/// The fastest runner that a thread does not notice.
fn runner<'a>(
    thread: &'a mut RemoteCall,
    scratch: Scratch,
    layout: Option<PayloadLayout>,
    caught: u64,
) -> Box<dyn Runner + 'a> {
    match layout.zip(InjectedRunner::signal(thread, caught)) {
        Some((layout, signal)) => Box::new(InjectedRunner::new(thread, layout, signal)),
        None => Box::new(PtraceRunner::within(thread, scratch)),
    }
}
