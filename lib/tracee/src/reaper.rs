//! Reaps the threads of a process that is killed while its leader works for us.
//!
//! wait(2) reports the end of a leader only when its other threads have been waited for, and only their tracer can do
//! that: a tracer that waits for the leader alone waits for ever. Any thread of the tracing process may wait for them.

use crate::raw;
use floe_sys::{Error, Result};
use std::{
    os::unix::fs::MetadataExt,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Time from one look to the next.
const INTERVAL: Duration = Duration::from_millis(50);

/// A thread that watches until this is dropped.
#[derive(Debug)]
pub(crate) struct Reaper(Option<(Sender<()>, JoinHandle<()>)>);

impl Reaper {
    /// Watches a process, if it has more than one thread.
    pub fn watch(pid: i32) -> Result<Self> {
        let pid = pid as u32;
        // Two links, and one for each thread (proc_task_getattr of fs/proc/base.c).
        let about = std::fs::metadata(floe_proc::path(pid, "task"));
        if about.map_err(|e| floe_proc::unable(pid, "task", e))?.nlink() < 4 {
            return Ok(Self(None));
        }
        let (stop, stopped) = channel::<()>();
        let rounds = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                reap(pid);
            }
        };
        let thread = thread::Builder::new().spawn(rounds);
        let thread = thread.map_err(|e| Error::new("start a reaper", e).pid(pid))?;
        Ok(Self(Some((stop, thread))))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            // It returns nothing and does not panic.
            let _ = thread.join();
        }
    }
}

/// Once the leader is dead, all others are, or will be by the next round.
fn reap(pid: u32) {
    // What cannot be read has gone, or is looked at again in the next round.
    let dead = |tid| floe_proc::is_dead(tid).unwrap_or(false);
    if !dead(pid) {
        return;
    }
    for tid in floe_proc::tids(pid).unwrap_or_default() {
        if tid != pid && dead(tid) {
            // Its tracer may have waited for it already.
            let _ = raw::wait(tid as i32, false);
        }
    }
}
