//! Batches of system calls that are run inside another process.
//!
//! All knowledge of what to ask stays on this side: a [`Batch`] is plain data, a [`Runner`] brings it to the
//! target and gives the [`Replies`].

mod abi;
mod agent;
mod batch;
mod plant;
mod ptrace;

pub use agent::Agent;
pub use batch::{Arg, Batch, Call, Entry, Replies, Slot};
pub use plant::Planted;
pub use ptrace::PtraceRunner;

/// Something that can run a batch in a target.
pub trait Runner {
    /// Runs the calls in order. A call that must succeed and fails stops the batch and is the error.
    fn run(&mut self, batch: &Batch) -> floe_sys::Result<Replies>;

    /// How many bytes of data a batch may have.
    fn room(&self) -> usize;
}
