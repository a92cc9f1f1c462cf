//! Records to steps: pure code that needs no root, no clock and no kernel.
#![forbid(unsafe_code)]

mod room;
mod steps;
mod tree;

pub use steps::{Step, plan};
pub use tree::Tree;

/// Bytes of the hole that restore borrows in every process: code, arena, parking for the vdso.
pub const HOLE: u64 = 0x80000;
