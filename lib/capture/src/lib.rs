//! Live processes to records: the library behind `freeze`, `dumpfs` and `dumpmem`. It never writes a stream.
#![forbid(unsafe_code)]

mod ask;
mod chase;
mod creds;
mod error;
mod family;
pub mod files;
mod fs;
mod limits;
pub mod memory;
mod mm;
pub mod preflight;
mod preflight_fds;
pub mod proc;
mod process;
mod sched;
mod sharing;
mod signals;
mod thread;
mod timers;
pub mod tree;
pub mod vmas;

pub use error::{Error, Result};
