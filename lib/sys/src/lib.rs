//! One safe function per kernel call. All host-side `unsafe` lives here, in `lib/tracee` and in
//! `lib/parasite`.
mod error;
mod mem;

pub use error::{Error, Result};
pub use mem::{read_memory, read_memory_partial, write_memory};

/// Turns the -1 convention of libc into a result with the errno.
pub(crate) fn check(result: i64) -> std::io::Result<i64> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
