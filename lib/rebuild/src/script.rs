//! System calls that a stub is to make. They are gathered over many steps and made at once: each stop of a stub costs as
//! much as hundreds of calls.

use crate::stubs::Stubs;
use floe_parasite::{Arg, Batch, Call, Replies, Runner, Slot};
use floe_records::{Pid, Thread, Tid, Tree};
use floe_sys::{Error, Result};

/// Data of gathered calls, bytes, from which on they are made: more of it than this is left free in the arena.
const MUCH: usize = 96 << 10;
/// `struct clone_args` of include/uapi/linux/sched.h: its words, and the offset of `set_tid`.
const CLONE_ARGS: usize = 11;
const SET_TID: usize = 64;

/// A process or thread that the calls of a script have made, and that has not been waited for yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newborn {
    pub tid: Tid,
    pub is_process: bool,
}

/// The calls of one thread.
pub(crate) struct Script<'a> {
    stubs: &'a Stubs,
    tid: Tid,
    batch: Batch,
    /// All signals of the thread are blocked, so that no breakpoint can stop it.
    blocked: bool,
    /// Clones of the batch.
    clones: Vec<(Newborn, Call)>,
    born: Vec<Newborn>,
}

impl<'a> Script<'a> {
    /// Nothing yet.
    pub fn new(stubs: &'a Stubs, tid: Tid) -> Self {
        let (batch, clones, born) = (Batch::new(), Vec::new(), Vec::new());
        Self { stubs, tid, batch, blocked: false, clones, born }
    }

    /// The process that makes them.
    pub fn pid(&self, tree: &Tree) -> Pid {
        tree.get::<Thread>(self.tid).map_or(Pid(self.tid.0), |thread| thread.pid)
    }

    /// Says what the calls from here on are made for: it completes "unable to".
    pub fn label(&mut self, label: String) {
        self.batch.label(label);
    }

    /// Whether no call waits to be made.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// A call that must succeed.
    pub fn call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.batch.call(nr, args)
    }

    /// A call that may fail.
    pub fn try_call<const N: usize>(&mut self, nr: i64, args: [Arg; N]) -> Call {
        self.batch.try_call(nr, args)
    }

    /// Makes a process or thread with given ids, the innermost first, which is traced as this one is. Flags are those of clone(2).
    pub fn clone(&mut self, newborn: Newborn, names: &[u32], flags: u64, exit_signal: u64) {
        let args = self.clone_args(names, flags, exit_signal);
        // What was made before a failure must be known, so a failure stops nothing.
        let call = self.try_call(libc::SYS_clone3, [args.into(), args.len().into()]);
        self.clones.push((newborn, call));
    }

    /// Makes the calls so far, and then a process; gives what its maker calls it.
    pub fn clone_one(&mut self, names: &[u32], flags: u64, exit_signal: u64) -> Result<u64> {
        self.run()?;
        let args = self.clone_args(names, flags, exit_signal);
        self.one(libc::SYS_clone3, [args.into(), args.len().into()])
    }

    fn clone_args(&mut self, names: &[u32], flags: u64, exit_signal: u64) -> Slot {
        let mut args = [0; CLONE_ARGS];
        // With CLONE_PTRACE and no option to trace clones, its maker does not stop for it.
        (args[0], args[4]) = (flags | libc::CLONE_PTRACE as u64, exit_signal);
        args[9] = names.len() as u64;
        let ids = names.iter().flat_map(|name| name.to_ne_bytes()).collect::<Vec<u8>>();
        let ids = (!ids.is_empty()).then(|| self.bytes(&ids));
        let slot = self.words(&args);
        ids.into_iter().for_each(|ids| self.pointer(slot, SET_TID, ids));
        slot
    }

    /// What the process that makes the calls calls a task, a process group or a session.
    pub fn called(&self, tree: &Tree, id: u32) -> Result<u64> {
        let none = || Error::because(format!("name {id}"), "it has no number for it");
        tree.seen_by(self.pid(tree), id).map(u64::from).ok_or_else(|| none().pid(self.tid.0))
    }

    /// Something was made that [`Script::clone_one`] has made with its ids.
    pub fn is_born(&mut self, newborn: Newborn) {
        self.born.push(newborn);
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
        if self.is_empty() {
            return Ok(None);
        }
        let mut next = Batch::new();
        // What comes next may be for the same.
        if let Some(label) = self.batch.last_label() {
            next.label(label);
        }
        let batch = std::mem::replace(&mut self.batch, next);
        let tid = self.tid.0 as i32;
        let replies = match self.blocked {
            false => self.stubs.runner(tid)?.run(&batch)?,
            true => self.stubs.slow_runner(tid).run(&batch)?,
        };
        let mut failed = None;
        for (newborn, call) in self.clones.drain(..) {
            match replies.value(call) {
                Ok(_) => self.born.push(newborn),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(Some(replies)), Err)
    }

    /// What was made so far.
    pub fn newborns(&self) -> &[Newborn] {
        &self.born
    }

    /// The same, at the end.
    pub fn born(self) -> Vec<Newborn> {
        self.born
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
