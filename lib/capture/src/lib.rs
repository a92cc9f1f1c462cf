//! Live processes to records: the library behind `freeze`, `dumpfs` and `dumpmem`. It never writes a stream.
#![forbid(unsafe_code)]

pub mod files;
pub mod memory;
