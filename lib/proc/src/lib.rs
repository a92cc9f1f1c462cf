//! The one reader of /proc. It fails closed: a field that is missing or has an unknown form is an error and never a
//! default, because a default (user 0, no handlers, offset 0) would be captured as the truth.
//!
//! Each file has a parser, a pure function over its text, and beside it a reader `of(pid)` that reads the whole file
//! with as few read(2) calls as possible: /proc only promises consistency within one call. Pids are those of the pid
//! namespace that /proc is mounted for; where proc(5) says so, a thread id does as well.
//!
//! A process that has been reaped gives an error with [`floe_sys::Error::is_gone`].
//!
//! The procfs crate is used for limits only. Its parsers of stat and maps slice by unchecked offsets, those of status
//! and maps take valid UTF-8 alone while names and paths are bytes, the one of smaps builds a hash map for each mapping
//! (a process can have 65,530), and those of fdinfo, timers and blocked locks do not exist or drop fields.

#![forbid(unsafe_code)]

mod clocks;
mod descriptors;
mod fdinfo;
mod ipc;
mod limits;
mod locks;
mod maps;
mod namespaces;
mod read;
mod segments;
mod smaps;
mod stat;
mod status;
mod tasks;
mod timers;
mod words;

pub use clocks::ClockOffsets;
pub use descriptors::{Descriptors, OpenInfo};
pub use fdinfo::Fdinfo;
pub use ipc::{IpcEntry, message_lists, semaphore_sets};
pub use limits::{LIMITS, limits};
pub use locks::{Access, LeaseState, Lock, LockKind, system_locks};
pub use maps::{Mapping, mappings};
pub use namespaces::{
    id_map, is_in_initial_pid_namespace, is_initial_namespace, namespace, namespaces, namespaces_of,
};
pub use read::{
    autogroup_nice, comm, core_dump_filter, fd_path, label, link, login_uid, map_file_path, number,
    numbers_in, oom_score_adj, path, personality, read, read_at, read_record, shows_our_pids,
    timer_slack, unable,
};
pub use segments::{Segment, segments};
pub use smaps::{SmapsEntry, smaps};
pub use stat::{AddressSpace, Stat};
pub use status::{Status, effective_capabilities};
pub use tasks::{children, is_dead, is_ending, tids};
pub use timers::{TimerDefinition, timers};

/// Parsers of recorded text, without a process.
pub mod parse {
    pub use crate::{
        limits::parse as limits, locks::parse as locks, maps::parse as maps, smaps::parse as smaps,
        timers::parse as timers,
    };
}
