//! Steps to processes.
#![forbid(unsafe_code)]

mod files;
mod maps;
mod open;
mod pin;
mod settings;
mod stub;
mod threads;
mod timers;
mod unions;
mod vmas;

pub use maps::{own_ranges, own_vdso_hash};
pub use open::{Opened, Wishes};
pub use pin::Pin;
pub use stub::Work;
pub use unions::{Rebuilt, unions};
