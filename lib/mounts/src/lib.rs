//! Mount namespaces: what is mounted in them, and how they are made.
//!
//! [`mounts`] reads the text of mountinfo, [`all_of`] all mounts of a namespace, wherever they are seen. A [`Workshop`] is a namespace in
//! which others are built ([`Workshop::build`]): file systems are mounted there at plain places, each once, and the
//! mounts of the new namespace are copies of them, which are put together, and get the place of the root. [`connect`]
//! then puts them into their peer groups.
#![forbid(unsafe_code)]

mod attributes;
mod build;
mod escape;
mod fs_type;
mod groups;
mod mountinfo;
mod space;
mod workshop;

pub use attributes::{Attributes, attributes};
pub use build::{Built, Shows, Wanted};
pub use escape::{newlines, unescape};
pub use fs_type::{is_global, is_in_memory, is_of_kernel};
pub use groups::{Member, Outside, connect};
pub use mountinfo::{Mount, lasting_mounts, mounts};
pub use space::{View, all_of, copied, inside, place, uncovered};
pub use workshop::{Base, System, Workshop, below, mount_anew};
