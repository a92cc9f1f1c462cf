//! Pages of mappings that nobody may write to: with a breakpoint of a debugger in them, for example. The kernel has a mode
//! (`proc_mem.force_override=ptrace`, Linux 6.12 and later) in which only the thread that traces a process writes to such
//! memory by /proc/PID/mem (proc(5)), and pages are put into place by others.

use floe_records::Pid;
use floe_sys::{Result, write_memory_ranges};
use std::sync::{Mutex, PoisonError};

/// Ranges of a process, and what belongs there.
type Pages = (Pid, Vec<(u64, u32)>, Vec<u8>);

/// What waits for the thread that traces.
#[derive(Default)]
pub(crate) struct Forced(Mutex<Vec<Pages>>);

impl Forced {
    /// Writes the ranges, or keeps them for [`Forced::settle`] where the kernel does not let the calling thread (EIO).
    pub fn write(&self, pid: Pid, ranges: &[(u64, u32)], bytes: &[u8]) -> Result<()> {
        match write_memory_ranges(pid.0 as i32, ranges, bytes) {
            Err(e) if e.errno() == Some(libc::EIO) => {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push((pid, ranges.to_vec(), bytes.to_vec()));
                Ok(())
            }
            done => done,
        }
    }

    /// Writes what was kept, from the thread that traces.
    pub fn settle(&self) -> Result<()> {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        kept.iter()
            .try_for_each(|(pid, ranges, bytes)| write_memory_ranges(pid.0 as i32, ranges, bytes))
    }
}
