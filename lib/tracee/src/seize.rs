//! Seizing many threads at once.

use crate::{
    Stop, Tracee,
    raw::{self, Command},
};
use floe_sys::{Error, Result};
use std::{
    io,
    time::{Duration, Instant},
};

/// The options every tracee gets: system call stops that cannot be mistaken for a SIGTRAP.
pub const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD;

/// How long a thread may take to stop; longer means an uninterruptible wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thread that was seized and interrupted, and may not have stopped yet.
#[derive(Debug)]
pub struct PendingStop(Tracee);

/// What has become of a [`PendingStop`].
#[derive(Debug)]
pub enum Polled {
    /// It has stopped.
    Stopped(Tracee),
    /// It still runs, or waits in the kernel.
    Pending(PendingStop),
}

impl PendingStop {
    /// Seizes a thread with PTRACE_O_* options and interrupts it. One that has ended gives ESRCH.
    pub fn seize(tid: i32, options: i32) -> Result<Self> {
        let fail = |doing: &str, cause| Error::new(doing, cause).pid(tid as u32);
        raw::command(tid, Command::Seize(options)).map_err(|e| fail("seize it", ended(tid, e)))?;
        raw::command(tid, Command::Interrupt).map_err(|e| fail("interrupt it", e))?;
        Ok(Self(Tracee::of_stopped(tid)))
    }

    /// Its thread id.
    pub fn tid(&self) -> i32 {
        self.0.tid
    }

    /// Whether it has stopped by now; signals met before are delivered. ESRCH when it has ended.
    pub fn poll(mut self) -> Result<Polled> {
        while let Some(status) = raw::wait(self.0.tid, false)? {
            if self.0.reached_event_stop(Stop::of(status))? {
                return Ok(Polled::Stopped(self.0));
            }
        }
        Ok(Polled::Pending(self))
    }

    fn wait(mut self) -> Result<Tracee> {
        let (tid, mut pauses) = (self.tid(), Pauses::default());
        loop {
            self = match self.poll()? {
                Polled::Stopped(tracee) => return Ok(tracee),
                Polled::Pending(pending) => pending,
            };
            if !pauses.pause(PATIENCE) {
                let what = "it is in an uninterruptible wait";
                return Err(Error::because("stop it", what).pid(tid as u32));
            }
        }
    }
}

/// Seizes and stops threads: all are interrupted before the first is waited for. Each has its own result; a thread
/// that has ended gives ESRCH.
pub fn seize_all(tids: &[i32]) -> Vec<(i32, Result<Tracee>)> {
    seize_all_with(tids, OPTIONS)
}

/// [`seize_all`] with PTRACE_O_* options (give [`OPTIONS`] among them).
pub fn seize_all_with(tids: &[i32], options: i32) -> Vec<(i32, Result<Tracee>)> {
    let pending: Vec<_> = tids.iter().map(|&tid| (tid, PendingStop::seize(tid, options))).collect();
    pending.into_iter().map(|(tid, one)| (tid, one.and_then(PendingStop::wait))).collect()
}

/// A thread that has ended and is still visible refuses with EPERM, which must not be taken for a lack of rights.
fn ended(tid: i32, cause: io::Error) -> io::Error {
    // Where its state cannot be read, the first error tells more.
    let dead = floe_proc::is_dead(tid as u32).unwrap_or(false);
    if dead { io::Error::from_raw_os_error(libc::ESRCH) } else { cause }
}

/// Pauses between polls: short ones at first, since most threads stop at once.
#[derive(Debug)]
pub struct Pauses {
    begin: Instant,
    count: u32,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { begin: Instant::now(), count: 0 }
    }
}

impl Pauses {
    /// Pauses; false when more than `patience` has passed since this was made.
    pub fn pause(&mut self, patience: Duration) -> bool {
        self.count += 1;
        if self.count < 100 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(u64::from(self.count.min(2000))));
        }
        self.begin.elapsed() < patience
    }
}
