//! System calls that a stub is to make. They are gathered over many resources and made at once: each stop of a stub costs as
//! much as hundreds of calls.

use crate::stubs::Stubs;
use floe_parasite::{Arg, Batch, Call, Replies, Runner, Slot};
use floe_records::Tid;
use floe_sys::Result;

/// Data of gathered calls, bytes, from which on they are made: more of it than this is left free in the arena.
const MUCH: usize = 96 << 10;

/// The calls of one thread.
pub(crate) struct Script<'a> {
    stubs: &'a Stubs,
    tid: Tid,
    batch: Batch,
    /// All signals of the thread are blocked, so that no breakpoint can stop it.
    blocked: bool,
}

impl<'a> Script<'a> {
    /// Nothing yet.
    pub fn new(stubs: &'a Stubs, tid: Tid) -> Self {
        Self { stubs, tid, batch: Batch::new(), blocked: false }
    }

    /// A call that must succeed.
    pub fn call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.batch.call(nr, args)
    }

    /// A call that may fail.
    pub fn try_call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.batch.try_call(nr, args)
    }

    /// A copy of `bytes` in the memory of the stub.
    pub fn bytes(&mut self, bytes: &[u8]) -> Slot {
        self.batch.bytes(bytes)
    }

    /// Words in the memory of the stub.
    pub fn words(&mut self, words: &[u64]) -> Slot {
        self.bytes(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
    }

    /// Puts the address that `to` will have into `slot` at `offset`.
    pub fn pointer(&mut self, slot: Slot, offset: usize, to: Slot) {
        self.batch.pointer(slot, offset, to);
    }

    /// Makes the calls so far if they have much data; to be asked between two of many parts.
    pub fn breathe(&mut self) -> Result<()> {
        if self.batch.data_len() > MUCH { self.run().map(drop) } else { Ok(()) }
    }

    /// Makes the calls so far.
    pub fn run(&mut self) -> Result<Option<Replies>> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(None);
        }
        let tid = self.tid.0 as i32;
        let replies = match self.blocked {
            false => self.stubs.runner(tid)?.run(&batch)?,
            true => self.stubs.slow_runner(tid).run(&batch)?,
        };
        Ok(Some(replies))
    }

    /// Makes the calls so far and then one more, and gives its value.
    pub fn one<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Result<u64> {
        self.run()?;
        let call = self.call(nr, args);
        let replies = self.run()?;
        replies.map_or(Ok(0), |replies| replies.value(call))
    }

    /// Blocks all signals of the thread, for good.
    pub fn block_signals(&mut self) -> Result<()> {
        self.run()?;
        self.blocked = true;
        self.stubs.tracee(self.tid.0 as i32)?.set_sigmask(u64::MAX)
    }

    /// Calls are made in a way that no signal action is changed by.
    pub fn without_breakpoint(&mut self) -> Result<()> {
        self.block_signals()
    }
}
