//! A stopped foreign task as a typed value.
//!
//! Only the thread that seized a task may work on it: ptrace belongs to threads, not to processes. When that
//! thread ends, the kernel lets all of its tracees run on.

mod call;
mod memory;
mod raw;
mod regs;
mod seize;
mod stop;
mod tracee;

pub use call::{Event, RemoteCall};
pub use memory::{Scratch, borrow_memory, find_syscall_insn, return_memory};
pub use regs::Regs;
pub use seize::{OPTIONS, seize_all, seize_all_with};
pub use stop::Stop;
pub use tracee::{RseqConfig, Tracee};
