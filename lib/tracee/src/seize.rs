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

/// Seizes and stops threads: all are asked before the first is waited for. Each has its own result; a thread
/// that is gone gives ESRCH.
pub fn seize_all(tids: &[i32]) -> Vec<(i32, Result<Tracee>)> {
    seize_all_with(tids, OPTIONS)
}

/// [`seize_all`] with PTRACE_O_* options (give [`OPTIONS`] among them).
pub fn seize_all_with(tids: &[i32], options: i32) -> Vec<(i32, Result<Tracee>)> {
    let asked: Vec<_> = tids.iter().map(|&tid| (tid, seize(tid, options))).collect();
    asked
        .into_iter()
        .map(|(tid, seized)| (tid, seized.and_then(|()| await_stop(Tracee::of_stopped(tid)))))
        .collect()
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

fn await_stop(mut tracee: Tracee) -> Result<Tracee> {
    let begin = Instant::now();
    let mut round = 0u32;
    loop {
        if let Some(status) = raw::wait(tracee.tid, false)? {
            if tracee.take_stop(Stop::of(status))? {
                return Ok(tracee);
            }
            continue;
        }
        round += 1;
        if round < 100 {
            std::thread::yield_now();
        } else if begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(u64::from(round.min(2000))));
        } else {
            return Err(Error::because("stop it", "it is in an uninterruptible wait")
                .pid(tracee.tid as u32));
        }
    }
}
