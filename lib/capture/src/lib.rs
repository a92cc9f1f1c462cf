//! Live processes to records: the library behind `freeze`, `dumpfs` and `dumpmem`. It never writes a stream.
//!
//! [`look`] finds what cannot be captured, [`tree`] stops a tree and takes what `freeze` writes of it, [`files`] takes what
//! descriptors lead to, [`memory`] the pages. What is taken of each resource stands in a file of its own in the directory of its
//! scope, under the name that the list of `lib/records` gives it; `resource.rs` has the traits that those files implement.
#![forbid(unsafe_code)]

mod by_inode;
pub mod carry;
mod connections;
pub mod copies;
mod copy_room;
mod describing;
mod descriptor_of;
mod diag_of;
mod entry;
mod error;
pub mod files;
mod frozen;
mod held;
mod in_flight;
mod inet;
mod inet_options;
mod inode;
mod ipc_spaces;
mod kept;
mod known;
mod layout;
pub mod look;
mod mapped;
pub mod memory;
pub mod mount_trees;
mod multicast;
mod net_spaces;
mod network;
mod on_mounts;
pub mod origin;
mod other_names;
mod own_spaces;
mod parallel;
pub mod passing;
mod path;
mod question;
mod raw_peers;
mod resource;
mod ring_registered;
mod ring_shape;
mod rule;
mod seize;
mod sock_diag;
mod socket;
mod socket_kind;
mod socket_losses;
mod subject;
pub mod tracking;
pub mod tree;
mod walk;

pub use error::{Error, Result};
pub use frozen::Frozen;
pub use inet::release_ports;
pub use kept::Kept;
pub use known::Ranks;
pub use mapped::{mapped_file, mapped_files};

macro_rules! modules {
    (
        frame $frame:tt
        namespace { $($n:ident: $N:ident $nk:literal $nv:literal $np:tt;)* }
        process { $($p:ident: $P:ident $pk:literal $pv:literal $pp:tt;)* }
        thread { $($t:ident: $T:ident $tk:literal $tv:literal $tp:tt;)* }
        file { $($f:ident: $F:ident $fk:literal $fv:literal $fp:tt;)* }
        descriptor { $($d:ident: $D:ident $dk:literal $dv:literal $dp:tt;)* }
        object { $($o:ident: $O:ident $ok:literal $ov:literal $op:tt;)* }
        bulk $bulk:tt
    ) => {
        mod namespace { $(pub(crate) mod $n;)* }
        mod process { $(pub(crate) mod $p;)* }
        mod thread { $(mod $t;)* }
        mod file { $(pub(crate) mod $f;)* }
        mod descriptor { $(pub(crate) mod $d;)* }
        mod object { $(pub(crate) mod $o;)* }
    };
}
floe_records::resources!(modules);
