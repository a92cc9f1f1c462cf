//! Steps to processes.
#![forbid(unsafe_code)]

mod files;
mod limits;
mod maps;
mod open;
mod settings;
mod stub;
mod threads;
mod timers;
mod unions;
mod vmas;

pub use files::Modes;
pub use limits::{allow_many_files, too_high};
pub use maps::{own_ranges, own_vdso_hash};
pub use open::{Opened, Wishes};
pub use stub::Work;
pub use unions::{Rebuilt, unions};
