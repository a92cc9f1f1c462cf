//! What a process tree is, as data. No kernel calls, no I/O.
//!
//! [`resources!`] is the list of all records; every record kind has a number ([`Record::KIND`]). Ascending numbers are the
//! canonical order of an image. Numbers from 100 to 199 carry memory or file contents as bulk byte strings ([`is_bulk`]).
//!
//! Order law: `freeze` writes Begin, its tree records and [`TreeEnd`]. A later stage writes its metadata
//! records directly behind `TreeEnd`, and its bulk records directly before End. So all metadata comes
//! before all bulk, whatever the order of the middle stages.
#![forbid(unsafe_code)]

mod cgroup_mode;
mod cgroup_property;
mod finding;
mod huge;
mod inet;
mod list;
mod net_message;
mod on_change;
mod path_pattern;
mod pid_spaces;
mod ranges;
mod record;
mod reference;
mod runs;
mod sane;
mod shares;
mod socket;
mod sparse;
mod tree;
mod types;

pub use cgroup_mode::*;
pub use cgroup_property::*;
pub use finding::*;
pub use huge::*;
pub use inet::*;
pub use net_message::*;
pub use on_change::*;
pub use path_pattern::*;
pub use ranges::*;
pub use record::*;
pub use reference::*;
pub use runs::*;
pub use sane::*;
pub use shares::*;
pub use socket::*;
pub use tree::*;
pub use types::*;

macro_rules! modules {
    ($($scope:ident { $($module:ident: $type:ident $kind:literal $version:literal [$($phase:ident)*];)* })*) => {
        $(
            mod $scope {
                $(mod $module; pub use $module::*;)*
            }
            pub use $scope::*;
        )*
    };
}
resources!(modules);

/// Whether records of a kind carry target memory or file contents; they stand behind all metadata.
pub const fn is_bulk(kind: u16) -> bool {
    kind >= 100 && kind < 200
}
