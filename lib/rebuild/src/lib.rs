//! Steps to processes.
#![forbid(unsafe_code)]

mod maps;
mod open;
mod settings;
mod stub;
mod threads;
mod vmas;

pub use maps::{own_ranges, own_vdso_hash};
pub use open::Opened;
pub use stub::Work;
