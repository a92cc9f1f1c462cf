//! Batches of system calls that are run inside another process.
//!
//! All knowledge of what to ask stays on this side: a [`Batch`] is plain data, a [`Runner`] brings it to the
//! target and gives the [`Replies`].
//!
//! ```no_run
//! use floe_parasite::{Agent, Arg, Batch, Runner};
//! use floe_tracee::seize_all;
//!
//! # fn main() -> floe_sys::Result<()> {
//! let (_tid, tracee) = seize_all(&[1234]).remove(0);
//! let mut tracee = tracee?;
//! let mut planted = Agent::plant(&tracee)?;
//! let mut batch = Batch::new();
//! let path = batch.bytes(b"/etc/hostname\0");
//! let fd = batch.call(libc::SYS_open, [path.into(), Arg::Val(0)]);
//! let buffer = batch.zeroed(64);
//! batch.try_call(libc::SYS_read, [fd.into(), buffer.into(), Arg::Val(64)]);
//! batch.call(libc::SYS_close, [fd.into()]);
//! let replies = planted.agent().run(&batch)?;
//! println!("{:?}", replies.bytes(buffer));
//! planted.lift(&mut tracee)?;
//! tracee.detach()
//! # }
//! ```

mod abi;
mod agent;
mod batch;
mod guest;
mod inside;
mod plant;
mod ptrace;
mod room;

pub use agent::Agent;
pub use batch::{Arg, Batch, Call, Entry, Replies, Slot};
pub use guest::Guest;
pub use inside::Inside;
pub use plant::Planted;
pub use ptrace::PtraceRunner;
pub use room::Room;

/// Something that can run a batch in a target.
pub trait Runner {
    /// Runs the calls in order. A call that must succeed and fails stops the batch and is the error.
    fn run(&mut self, batch: &Batch) -> floe_sys::Result<Replies>;

    /// How many bytes of data a batch may have.
    fn room(&self) -> usize;
}
