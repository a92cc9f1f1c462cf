//! The stream: a CBOR sequence (RFC 8742) of items `[kind, version, body]`, with bulk as definite byte
//! strings behind their record. Knows no record's meaning; FORMAT.md is its contract.
#![forbid(unsafe_code)]

mod any;
mod cbor;
mod check;
mod error;
mod item;
mod reader;
mod writer;

pub use cbor::{Token, Tokens};
pub use check::{Check, Tally};
pub use error::{Error, Result};
pub use item::RawRecord;
pub use reader::{Item, Reader, Source};
pub use writer::Writer;

/// Kind of the record that carries the running checksum between metadata and bulk.
pub const SEAL: u16 = 99;
/// Kind of the filler in an image that puts bulk at a page boundary.
pub const PAD: u16 = 98;
/// Kind of an image's index records.
pub const INDEX: u16 = 900;
/// Kind of the record right before an image's End that says where the index is.
pub const INDEX_AT: u16 = 901;
/// Kind of the record that a failed tool writes instead of End: `[998, 1, code]`, with its exit code, 1 to 255.
pub const ABORT: u16 = 998;
/// Kind of the last record.
pub const END: u16 = 999;
pub use floe_records::MAX_RECORD;
/// Longest bulk string, bytes.
pub const MAX_BULK: u64 = 1 << 30;
