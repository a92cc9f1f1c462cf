//! Runs batches by the payload in a borrowed thread: one stop for each batch, and the thread gets home whenever its
//! tracer dies.
//!
//! A breakpoint would kill a process that nobody traces any more. So the payload stops by a signal that the process
//! has no handler for and that is ignored by default: its tracer sees it and throws it away, and without a tracer it
//! does nothing. Then the payload puts back what it has used and jumps to the way home, which unmaps it.

use crate::{Batch, Replies, Room, Runner, abi};
use floe_sys::{Error, Result, write_memory};
use floe_tracee::RemoteCall;

/// Ignored by default, and rarely handled.
const QUIET: [i32; 2] = [libc::SIGURG, libc::SIGWINCH];

/// A runner within a remote call of a visit; one at a time, since they all use the same room.
#[derive(Debug)]
pub struct Guest<'a> {
    thread: &'a mut RemoteCall,
    room: Room,
    signal: i32,
}

impl<'a> Guest<'a> {
    /// The signal that a guest in this thread can stop by: neither blocked, nor among those `caught` by its process
    /// (SigCgt of proc_pid_status(5)). `None` where there is none, where the extended state of the thread is not one
    /// that XSAVE knows and the arena holds, and for 32-bit code.
    pub fn signal(thread: &RemoteCall, caught: u64) -> Option<i32> {
        let noticed = caught | thread.mask();
        let signal = QUIET.into_iter().find(|signal| noticed >> (signal - 1) & 1 == 0)?;
        let fits = thread.tracee().xstate().is_ok_and(|state| state.len() <= abi::XSTATE_MAX);
        (fits && thread.saved().is_64bit()).then_some(signal)
    }

    /// `room` has been filled; `signal` is what [`Guest::signal`] gave.
    pub fn new(thread: &'a mut RemoteCall, room: Room, signal: i32) -> Self {
        Self { thread, room, signal }
    }

    /// What the payload needs to leave alone.
    fn prepare(&self, pid: i32) -> Result<()> {
        let tid = self.thread.tid() as u64;
        let words = [self.thread.way_home(), tid, self.signal as u64];
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        write_memory(pid, self.room.arena + abi::HOME as u64, &words)?;
        let regs = self.thread.saved().to_bytes();
        write_memory(pid, self.room.arena + abi::REGS as u64, &regs)
    }
}

const _: () = assert!(abi::STOP == abi::HOME + 8 && abi::STOP + 2 * 8 <= abi::REGS);

impl Runner for Guest<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        let pid = self.thread.tid();
        self.prepare(pid)?;
        let (room, signal) = (self.room, self.signal);
        let mut go = || {
            let ran = self.thread.run_code(signal, |regs| room.enter(regs, abi::VISIT));
            ran.map_err(|e: Error| e.pid(pid as u32))
        };
        room.run(pid, batch, &mut go)
    }

    fn room(&self) -> usize {
        Room::DATA
    }
}
