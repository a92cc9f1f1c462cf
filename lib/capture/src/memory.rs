//! Which pages of a held process exist in no file, and what is in them.
//!
//! A page of a private mapping that was never touched, or that still shows its file, is not ours to carry. The
//! kernel tells the others apart: PAGEMAP_SCAN (Linux 6.7), else /proc/PID/pagemap.

mod equal;
mod gather;
mod object;
mod pages;
mod secret;

pub use equal::{Candidates, Equals, equal_pages};
pub use gather::{Gather, MemFile, Source};
pub use object::{contents, describe, lone_segments};
pub(crate) use object::{object, open};
pub use pages::{Found, Scanner};
pub(crate) use pages::{clip, push as push_run};
pub use secret::{SECRET, secrets};
pub(crate) use secret::{is_secret, size as secret_size};
