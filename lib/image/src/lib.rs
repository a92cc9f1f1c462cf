//! The image file: a stream in canonical order whose bulk lies at page boundaries, with an index at the end.
//! Whoever reads it in one go reads a stream; whoever can seek finds each run of bulk. FORMAT.md says it in
//! full.
#![forbid(unsafe_code)]

mod error;
mod layout;
mod open;
mod pack;
mod temp;
mod view;

pub use error::{Error, Result};
pub use floe_records::kind_name as name;
pub use open::{Bulk, Image, Run, open, runs, verify};
pub use pack::{Meta, Ready, pack, pack_file, unpack};
pub use view::{Seen, json, walk};
