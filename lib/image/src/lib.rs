//! The image file: a stream in canonical order whose bulk lies at page boundaries, with an index at the end.
//! A reader that cannot seek reads a stream; one that can finds each bulk string by the index. FORMAT.md specifies it.
#![forbid(unsafe_code)]

mod error;
mod frame;
mod json;
mod layout;
mod merge;
mod open;
mod pack;
mod packer;
mod place;
mod recode;
mod reserve;
mod temp;
mod turns;
mod view;

pub use error::{Error, Result};
pub use floe_records::kind_name as name;
pub use frame::{Coding, Compression, Frame};
pub use json::{summary, write_json};
pub use merge::{Broken, Chain};
pub use open::{Bulk, Image, Run, check, open, runs, verify};
pub use pack::{Meta, Ready, pack, pack_file, unpack};
pub use view::{Seen, walk};
