//! Steps to processes.
//!
//! [`OpenFiles`] carries out the steps before the first process is made, [`Stubs`] are the processes until they are let go, and
//! [`Restore`] carries out all other steps. What is done for each resource stands in a file of its own in the directory of its
//! scope, under the name that the list of `lib/records` gives it; `resource.rs` has the traits that those files implement.
#![forbid(unsafe_code)]

mod attributes;
mod births;
mod caller;
mod cgroups;
mod clocks;
mod connection;
mod cpu;
mod datagrams;
mod factory;
mod forced;
mod given;
mod handover;
mod here;
mod inet;
mod keys;
mod late_queues;
mod machine;
mod mapped;
mod maps;
mod memory;
mod mounts;
mod named;
mod network;
mod new_spaces;
mod of_ended;
mod open;
mod options;
mod own_traffic;
mod private;
mod release;
mod removed;
mod resource;
mod restore;
mod rings;
mod same;
mod script;
mod segment;
mod socket;
mod socket_file;
mod space_maker;
mod spaces;
mod stand;
mod states;
mod stubs;
mod tcp_segment;
mod time_wait;
mod udp_packet;
mod unions;
mod users;
mod vdso;

pub use clocks::{continue_clocks, jump_back};
pub use descriptor::terminal::Modes;
pub use file::external::OUTSIDE;
pub use here::Here;
pub use machine::{cpu, machine};
pub use maps::{own_vdso, own_vdso_hash};
pub use mounts::Outer;
pub use new_spaces::{OwnUser, make_new, new_spaces};
pub use open::OpenFiles;
pub use options::{Inherit, OutsideRule, RestoreOptions, Veth, Which};
pub use process::{
    audit::lost_login_uids,
    keyring::{join_keyring, parted_keyrings},
    limits::allow_many_files,
};
pub use restore::Restore;
pub use stand::common_top;
pub use thread::creds::beyond_rights;
pub use unions::{Rebuilt, Replaced, outside_stacks, unions};
pub use users::is_born_there;
pub use vdso::thread_in_vdso;

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
        mod namespace { $(mod $n;)* }
        mod process { $(pub(crate) mod $p;)* }
        mod thread { $(pub(crate) mod $t;)* }
        mod file { $(pub(crate) mod $f;)* }
        mod descriptor { $(pub(crate) mod $d;)* }
        mod object { $(pub(crate) mod $o;)* }
    };
}
floe_records::resources!(modules);
