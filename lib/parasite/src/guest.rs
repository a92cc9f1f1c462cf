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

/// A runner within a remote call of a visit to the leader of a process.
///
/// No other thread may be on its way at the same time: the way home of the leader unmaps the room.
#[derive(Debug)]
pub struct Guest<'a> {
    thread: &'a mut RemoteCall,
    room: Room,
    signal: i32,
}

impl<'a> Guest<'a> {
    /// Puts the payload into [`Room::NEED`] that was mapped at `at`. `None` for a thread in which it cannot be: of two
    /// signals one must neither be blocked nor be among those `caught` by its process (SigCgt of
    /// proc_pid_status(5)), and its extended state has to be one that XSAVE knows and the arena holds.
    pub fn settle(thread: &'a mut RemoteCall, at: u64, caught: u64) -> Result<Option<Self>> {
        let noticed = caught | thread.mask();
        let signal = QUIET.into_iter().find(|signal| noticed >> (signal - 1) & 1 == 0);
        let fits = thread.tracee().xstate().is_ok_and(|state| state.len() <= abi::XSTATE_MAX);
        let Some(signal) = signal.filter(|_| fits) else { return Ok(None) };
        let room = Room { arena: at, image: at + Room::ARENA as u64 };
        room.fill(thread.tid())?;
        Ok(Some(Self { thread, room, signal }))
    }

    /// What the payload needs to leave alone.
    fn prepare(&self, pid: i32) -> Result<()> {
        let tid = self.thread.tid() as u64;
        let words = [self.thread.way_home(), tid, tid, self.signal as u64];
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        write_memory(pid, self.room.arena + abi::HOME as u64, &words)?;
        let regs = self.thread.saved().to_bytes();
        write_memory(pid, self.room.arena + abi::REGS as u64, &regs)
    }
}

const _: () = assert!(abi::STOP == abi::HOME + 8 && abi::STOP + 3 * 8 == abi::REGS);

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
