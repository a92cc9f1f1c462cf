//! Runs batches by the payload in a borrowed thread: one stop for each piece of a batch, and the thread returns to its
//! own code if its tracer dies.
//!
//! A breakpoint would kill a process that nobody traces any more. So the payload stops by a signal that the process
//! does not handle and whose default action is to ignore it: the tracer sees and discards it, and without a tracer it
//! has no effect. Then the payload restores what it has used and jumps to the return path, which unmaps it.

use crate::{Batch, PayloadLayout, Replies, Runner, abi};
use floe_sys::{Result, write_memory_ranges};
use floe_tracee::{Event, RemoteCall};
use zerocopy::IntoBytes;

/// Ignored by default, and rarely handled.
const IGNORED: [i32; 2] = [libc::SIGURG, libc::SIGWINCH];

/// A runner within a remote call of a session; one at a time, since all use the same arena.
#[derive(Debug)]
pub struct InjectedRunner<'a> {
    thread: &'a mut RemoteCall,
    layout: PayloadLayout,
    signal: i32,
}

impl<'a> InjectedRunner<'a> {
    /// The signal that the payload can stop by in this thread: neither blocked, nor among those `caught` by its process
    /// (SigCgt of proc_pid_status(5)). `None` where there is none, where the extended state of the thread does not fit
    /// in the arena, and for 32-bit code.
    pub fn signal(thread: &RemoteCall, caught: u64) -> Option<i32> {
        let noticed = caught | thread.mask();
        let signal = IGNORED.into_iter().find(|signal| noticed >> (signal - 1) & 1 == 0)?;
        let fits = thread.tracee().xstate_len().is_ok_and(|len| len <= abi::XSTATE_MAX);
        (fits && thread.saved().is_64bit()).then_some(signal)
    }

    /// `layout` has been filled; `signal` is what [`InjectedRunner::signal`] gave.
    pub fn new(thread: &'a mut RemoteCall, layout: PayloadLayout, signal: i32) -> Self {
        Self { thread, layout, signal }
    }

    /// Writes what the payload needs to leave without a tracer.
    fn prepare(&self, pid: i32) -> Result<()> {
        const { assert!(abi::STOP == abi::RETURN_PATH + 8 && abi::STOP + 8 <= abi::REGS) };
        let words = [self.thread.return_path(), self.signal as u64];
        let regs = self.thread.saved().as_bytes();
        let at = |offset: usize, len: usize| (self.layout.arena + offset as u64, len as u32);
        let places = [at(abi::RETURN_PATH, words.as_bytes().len()), at(abi::REGS, regs.len())];
        write_memory_ranges(pid, &places, &[words.as_bytes(), regs].concat())
    }
}

impl InjectedRunner<'_> {
    /// The id of the thread.
    pub(crate) fn tid(&self) -> i32 {
        self.thread.tid()
    }

    /// Runs a batch; `hook` is called at event stops.
    pub(crate) fn run_with(
        &mut self,
        batch: &Batch,
        hook: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Replies> {
        let pid = self.thread.tid();
        self.prepare(pid)?;
        let (layout, signal) = (self.layout, self.signal);
        let mut go = || {
            let ran = self.thread.run_code(signal, |regs| layout.enter(regs, abi::INJECTED), hook);
            ran.map_err(|e| e.pid(pid as u32))
        };
        layout.run(pid, batch, &mut go)
    }
}

impl Runner for InjectedRunner<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        self.run_with(batch, &mut |_| Ok(()))
    }

    fn capacity(&self) -> usize {
        PayloadLayout::CAPACITY
    }
}
