//! Batches of system calls that are run inside another process.
//!
//! All knowledge of what to query stays on this side: a [`Batch`] is plain data, a [`Runner`] brings it to the
//! target and gives the [`Replies`].
//!
//! ```no_run
//! use floe_parasite::{Arg, Batch, PtraceRunner, Runner};
//! use floe_tracee::{RemoteSession, recover, seize_all};
//!
//! # fn main() -> floe_sys::Result<()> {
//! let (_tid, tracee) = seize_all(&[1234]).remove(0);
//! let mut tracee = tracee?;
//! recover(&mut tracee)?;
//! let mut session = RemoteSession::begin(&tracee, 4096, &[])?;
//! let mut batch = Batch::new();
//! let path = batch.bytes(b"/etc/hostname\0");
//! let fd = batch.call(libc::SYS_open, [path.into(), Arg::Val(0)]);
//! let buffer = batch.zeroed(64);
//! batch.try_call(libc::SYS_read, [fd.into(), buffer.into(), Arg::Val(64)]);
//! batch.call(libc::SYS_close, [fd.into()]);
//! let scratch = session.scratch();
//! let replies = PtraceRunner::within(session.leader(), scratch).run(&batch)?;
//! println!("{:?}", replies.bytes(buffer));
//! session.end()?;
//! tracee.detach()
//! # }
//! ```

mod abi;
mod batch;
mod copy;
mod helper;
mod injected;
mod layout;
mod names;
mod ptrace;
mod split;
mod stub;
mod userfault;

pub use batch::{Arg, Batch, Call, Entry, Replies, Slot};
pub use copy::copy;
pub use injected::InjectedRunner;
pub use layout::PayloadLayout;
pub use ptrace::PtraceRunner;
pub use stub::StubRunner;
pub use userfault::userfault;

/// Something that can run a batch in a target.
pub trait Runner {
    /// Runs the calls in order. A call that must succeed and fails stops the batch and is the error.
    fn run(&mut self, batch: &Batch) -> floe_sys::Result<Replies>;

    /// How many bytes of data a single call may use: its slots and those that they point to, each of them padded to 16
    /// bytes. A batch that has more in all runs in pieces.
    fn capacity(&self) -> usize;
}
