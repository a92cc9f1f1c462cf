//! The image file: a stream in canonical order whose bulk lies at page boundaries, with an index at the end.
//! A reader that cannot seek reads a stream; one that can finds each bulk string by the index. FORMAT.md specifies it.
#![forbid(unsafe_code)]

mod error;
mod json;
mod layout;
mod names;
mod open;
mod pack;
mod place;
mod temp;
mod view;

pub use error::{Error, Result};
pub use json::{summary, write_json};
pub use names::name;
pub use open::{Image, Run, open, verify};
pub use pack::{Meta, Ready, pack, pack_file, unpack};
pub use view::{Seen, walk};
