//! Keeps the network away from given TCP connections, so that no segment of them is answered, lost or sent while nobody, or a
//! process that stands still, has them.
//!
//! The means is a table of nf_tables (nft(8)) of our own, whose chains stand behind address translation and drop what belongs to
//! the connections. One transaction makes it and one removes it, and other tables are left alone. A table is either *held* (the
//! kernel removes it when the netlink socket that made it is closed, by whatever end of its process), or *left*: it stays when
//! all processes have ended, until somebody removes it by its name.
#![forbid(unsafe_code)]

mod connection;
mod message;
mod network;
mod table;

pub use connection::Connection;
pub use network::{Held, Network};
pub use table::{MARK, is_ours, left_name, new_id};
