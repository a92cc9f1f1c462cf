//! A stopped foreign task as a typed value.
//!
//! Only the thread that seized a task may work on it: ptrace belongs to threads, not to processes. When that
//! thread ends, the kernel lets all of its tracees run on.

mod call;
mod home;
mod memory;
mod raw;
mod regs;
mod seize;
mod stop;
mod tracee;
mod undertaker;
mod visit;

pub use call::{Event, RemoteCall};
pub use home::{Home, come_home};
pub use memory::{Scratch, find_syscall_insn};
pub use regs::Regs;
pub use seize::{Asked, OPTIONS, Pauses, seize_all, seize_all_with};
pub use stop::Stop;
pub use tracee::{RseqConfig, Tracee};
pub use visit::Visit;
