//! What is in a network namespace, read and put back by netlink(7), in the namespace of the calling thread.
//!
//! Interfaces are typed ([`Link`]). All else is messages of rtnetlink(7) that the kernel shows and takes in the same form:
//! [`Sort`] says which there are, and [`Sort::settle`] makes what is there what is wanted. Variables below /proc/sys/net are files
//! ([`Variables`]).
#![forbid(unsafe_code)]

mod compat;
mod link;
mod link_kind;
mod make;
mod message;
mod netlink;
mod outer;
mod rehearse;
mod sort;
mod tables;
mod traffic;
mod variables;

pub use link::{Link, links};
pub use link_kind::LinkKind;
pub use make::{await_carriers, make_links};
pub use message::Message;
pub use netlink::Netlink;
pub use outer::{OuterEnd, OuterEnds};
pub use rehearse::rehearse;
pub use sort::{ADDRESSES, NEIGHBOURS, NEXT_HOPS, ROUTES, RULES, Sort};
pub use tables::{TableMessage, replay_tables, tables};
pub use traffic::{Foreign, foreign};
pub use variables::{Variables, write_variables};
