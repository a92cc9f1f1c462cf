//! Buries the threads of a process that is killed while its leader works for us.
//!
//! wait(2) tells the end of a leader only when its other threads have been waited for, and nobody else than their
//! tracer can do that: whoever waits for the leader alone waits for ever. Any thread of the tracing process may do it.

use crate::raw;
use floe_sys::{Error, Result};
use std::{
    fs,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often it looks.
const ROUND: Duration = Duration::from_millis(50);

/// Works until it is dropped.
#[derive(Debug)]
pub(crate) struct Undertaker(Option<(Sender<()>, JoinHandle<()>)>);

impl Undertaker {
    /// Begins, where the process has more than one thread.
    pub fn start(pid: i32) -> Result<Self> {
        if tasks(pid).len() < 2 {
            return Ok(Self(None));
        }
        let (stop, stopped) = channel::<()>();
        let rounds = move || {
            while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                bury(pid);
            }
        };
        let thread = thread::Builder::new().spawn(rounds);
        let thread = thread.map_err(|e| Error::new("watch over it", e).pid(pid as u32))?;
        Ok(Self(Some((stop, thread))))
    }
}

impl Drop for Undertaker {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// Once the leader is dead all others are so as well, or will be in a moment.
fn bury(pid: i32) {
    if !is_dead(pid) {
        return;
    }
    for tid in tasks(pid).into_iter().filter(|tid| *tid != pid && is_dead(*tid)) {
        // It may be gone already.
        let _ = raw::wait(tid, false);
    }
}

fn tasks(pid: i32) -> Vec<i32> {
    let names = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_dead(tid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}
