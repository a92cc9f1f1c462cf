//! One safe function per kernel call. All host-side `unsafe` lives here.
mod error;
pub use error::{Error, Result};
