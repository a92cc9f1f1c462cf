//! What a process tree is, as data. No kernel calls, no I/O.
//!
//! Every record kind has a number ([`Record::KIND`]). Ascending numbers are the canonical order of an
//! image. Numbers of [`FIRST_BULK_KIND`] and above carry memory or file contents as bulk byte strings.
//!
//! Order law: `freeze` writes Begin, its tree records and [`TreeEnd`]. A later stage writes its metadata
//! records directly behind `TreeEnd`, and its bulk records directly before End. So all metadata comes
//! before all bulk, whatever the order of the middle stages.
#![forbid(unsafe_code)]

mod begin;
mod creds;
mod epoll;
mod files;
mod fs;
mod inet;
mod limits;
mod locks;
mod mm;
mod object;
mod pages;
mod pipe;
mod process;
mod refusal;
mod sched;
mod signals;
mod socket;
mod stage;
mod terminal;
mod thread;
mod timerfd;
mod timers;
mod types;
mod union;
mod unix;

pub use begin::*;
pub use creds::*;
pub use epoll::*;
pub use files::*;
pub use fs::*;
pub use inet::*;
pub use limits::*;
pub use locks::*;
pub use mm::*;
pub use object::*;
pub use pages::*;
pub use pipe::*;
pub use process::*;
pub use refusal::*;
pub use sched::*;
pub use signals::*;
pub use socket::*;
pub use stage::*;
pub use terminal::*;
pub use thread::*;
pub use timerfd::*;
pub use timers::*;
pub use types::*;
pub use union::*;
pub use unix::*;

/// Kinds from here on carry target memory or file contents; they stand behind all metadata.
pub const FIRST_BULK_KIND: u16 = 100;

/// A kind of record of the stream.
pub trait Record: serde::Serialize + serde::de::DeserializeOwned {
    /// Number of the kind; ascending numbers are the canonical order.
    const KIND: u16;
    /// Version of the body's shape.
    const VERSION: u16;
    /// Name for people.
    const NAME: &'static str;
}

/// Declares the kind, version and name of a record.
macro_rules! record {
    ($type:ty, $kind:expr, $version:expr) => {
        impl crate::Record for $type {
            const KIND: u16 = $kind;
            const VERSION: u16 = $version;
            const NAME: &'static str = stringify!($type);
        }
    };
}
pub(crate) use record;
