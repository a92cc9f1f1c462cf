//! Union file systems: from the path of a branch, which the kernel may report, to the path that processes see.
//!
//! AUFS hands the file of a *branch* to a mapping, and on many kernels /proc/PID/map_files and other links name
//! that file: a path that does not exist in the container. [`Unions`] knows the union mounts of one mount
//! namespace with their branches in order, and translates. It looks at no process: it is given text that was
//! read from /proc and /sys, live or recorded.
#![forbid(unsafe_code)]

mod branches;
pub mod brinfo;
mod decide;
mod stack;

pub use branches::{Branch, Given, from_options, from_sysfs};
pub use decide::{Decision, decide};
pub use floe_mounts::{Mount, lasting_mounts, mounts, newlines, unescape};
pub use stack::{Place, Sources, Stack, Unions, below};
