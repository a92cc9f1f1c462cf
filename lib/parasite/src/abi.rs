//! What host and payload agree on: the layout of the arena. Core only; the payload includes this file too.
//!
//! ```text
//! 0          return path, signal to stop by, registers, extended state   (what an injected payload needs to leave)
//! BATCH      count, done, entries, data
//! STACK_TOP  the payload's stack grows down from here
//! ```
#![allow(dead_code, reason = "each side uses its half")]

/// How the payload is entered, in its second argument: to run the batch in a stub and stop at a breakpoint, …
pub const STUB: u64 = 0;
/// … or to run it in a borrowed thread, stop by a signal, and leave by the return path.
pub const INJECTED: u64 = 1;
/// Address of the return path.
pub const RETURN_PATH: usize = 0;
/// The signal that an injected payload stops by.
pub const STOP: usize = 8;
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

/// The number of an entry that is no system call: the process is copied (see the payload). The result is the id of the helper, which
/// has to be waited for.
pub const COPY: u64 = 1 << 32;

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
