//! A stopped foreign task as a typed value.
//!
//! Only the thread that seized a task may work on it: ptrace belongs to threads, not to processes. When that
//! thread ends, the kernel lets all of its tracees run on.

mod call;
mod memory;
mod raw;
mod reaper;
mod regs;
mod restart;
mod seize;
mod session;
mod stop;
mod tracee;
mod trampoline;

pub use call::{Event, RemoteCall};
pub use memory::{Scratch, find_syscall_insn, find_syscall_insn_outside};
pub use regs::Regs;
pub use restart::keep_call;
pub use seize::{OPTIONS, Pauses, PendingStop, Polled, seize_all, seize_all_with};
pub use session::RemoteSession;
pub use stop::Stop;
pub use tracee::{RseqConfig, Running, Tracee, is_filtered, may_suspend_seccomp};
pub use trampoline::recover;
