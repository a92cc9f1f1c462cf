//! What host and payload agree on: the layout of the arena. Core only; the payload includes this file too.
//!
//! ```text
//! 0          magic, doorbell, signal mask, way home, registers, extended state   (what is needed to go home alone)
//! BATCH      count, done, entries, data
//! STACK_TOP  the payload's stack grows down from here
//! ```
#![allow(dead_code, reason = "each side uses its half")]

/// First word of the arena: a name and the version of this layout.
pub const MAGIC: u64 = 0x0001_656f_6c66;
/// The payload's end of the doorbell, a descriptor of the target.
pub const DOORBELL: usize = 8;
/// The signal mask to go home with.
pub const MASK: usize = 16;
/// Nonzero: a SIGPIPE was pending before we came and is the target's own.
pub const OWN_SIGPIPE: usize = 24;
/// How the payload is entered, in its second argument: to serve a doorbell, …
pub const SERVE: u64 = 0;
/// … to run the one batch that is there, and stop at a breakpoint for its tracer, …
pub const ONCE: u64 = 1;
/// … or to run it, stop by a signal for its tracer, and leave by the way home.
pub const VISIT: u64 = 2;
/// Where a visit leaves to.
pub const HOME: usize = 32;
/// What a visit stops by: thread and signal, a word each.
pub const STOP: usize = 40;
/// The saved registers, 27 words.
pub const REGS: usize = 64;
/// The saved extended state, in XSAVE format.
pub const XSTATE: usize = 1024;
/// The longest extended state that fits.
pub const XSTATE_MAX: usize = BATCH - XSTATE;
/// The batch: a word for the number of entries, one for those done, then the entries.
pub const BATCH: usize = 16 << 10;
/// Where the entries begin.
pub const ENTRIES: usize = BATCH + 16;
/// Behind the batch and its data.
pub const BATCH_END: usize = BATCH + (256 << 10);
/// The top of the payload's stack and the end of the arena.
pub const STACK_TOP: usize = BATCH_END + (64 << 10);

/// Words of an entry: number, must, kinds (a byte an argument: 1 is "result of entry"), six arguments, result.
pub const ENTRY_WORDS: usize = 10;
/// Bytes of an entry.
pub const ENTRY: usize = ENTRY_WORDS * 8;
/// Word of the flag that says whether failure stops the batch.
pub const ENTRY_MUST: usize = 1;
/// Word of the kinds.
pub const ENTRY_KINDS: usize = 2;
/// Word of the first argument.
pub const ENTRY_ARGS: usize = 3;
/// Word of the result.
pub const ENTRY_RESULT: usize = 9;

/// Indexes into the saved registers.
pub const REG_RAX: usize = 10;
/// See [`REG_RAX`].
pub const REG_ORIG_RAX: usize = 15;
/// See [`REG_RAX`].
pub const REG_RIP: usize = 16;
