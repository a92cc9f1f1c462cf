//! Seizing many threads at once.

use crate::{Stop, Tracee, raw};
use floe_sys::{Error, Result};
use std::{
    io,
    time::{Duration, Instant},
};

/// The options every tracee gets: system call stops that cannot be mistaken for a SIGTRAP.
pub const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD;

/// How long a thread may take to stop; longer means an uninterruptible wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thread that was seized and asked to stop, and may not have done so yet.
#[derive(Debug)]
pub struct Asked(Tracee);

impl Asked {
    /// Seizes a thread and asks it to stop. One that is gone gives ESRCH.
    pub fn seize(tid: i32, options: i32) -> Result<Self> {
        seize(tid, options).map(|()| Self(Tracee::of_stopped(tid)))
    }

    /// Whether it stands by now; signals met before are delivered. ESRCH when it has ended.
    pub fn has_stopped(&mut self) -> Result<bool> {
        while let Some(status) = raw::wait(self.0.tid, false)? {
            if self.0.take_stop(Stop::of(status))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The thread, which [has stopped](Self::has_stopped).
    pub fn tracee(self) -> Tracee {
        self.0
    }
}

/// Seizes and stops threads: all are asked before the first is waited for. Each has its own result; a thread
/// that is gone gives ESRCH.
pub fn seize_all(tids: &[i32]) -> Vec<(i32, Result<Tracee>)> {
    seize_all_with(tids, OPTIONS)
}

/// [`seize_all`] with PTRACE_O_* options (give [`OPTIONS`] among them).
pub fn seize_all_with(tids: &[i32], options: i32) -> Vec<(i32, Result<Tracee>)> {
    let asked: Vec<_> = tids.iter().map(|&tid| (tid, Asked::seize(tid, options))).collect();
    asked.into_iter().map(|(tid, asked)| (tid, asked.and_then(await_stop))).collect()
}

fn seize(tid: i32, options: i32) -> Result<()> {
    let seized = raw::number(raw::PTRACE_SEIZE, tid, 0, options as u64)
        .map_err(|e| if is_dead(tid) { io::Error::from_raw_os_error(libc::ESRCH) } else { e })
        .map_err(|e| Error::new("seize it", e).pid(tid as u32));
    seized?;
    raw::number(raw::PTRACE_INTERRUPT, tid, 0, 0)
        .map_err(|e| Error::new("interrupt it", e).pid(tid as u32))
        .map(drop)
}

/// An exited thread that is still visible refuses with EPERM, which must not be taken for a lack of rights.
fn is_dead(tid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{tid}/stat")) {
        Ok(stat) => {
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X', 'x']))
        }
        Err(_) => true,
    }
}

fn await_stop(mut asked: Asked) -> Result<Tracee> {
    let mut pauses = Pauses::default();
    while !asked.has_stopped()? {
        if !pauses.pause(PATIENCE) {
            return Err(Error::because("stop it", "it is in an uninterruptible wait")
                .pid(asked.0.tid as u32));
        }
    }
    Ok(asked.0)
}

/// Waits between two looks: shortly at first, since most threads stop at once.
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
    /// Waits a moment; false when it has been longer than `patience` since the first look.
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
