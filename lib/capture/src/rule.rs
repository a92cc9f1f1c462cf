//! Rules about what is no resource of its own: relations between processes, and states in which nothing can be captured.

pub(crate) mod cgroup_spaces;
pub(crate) mod clocks;
pub(crate) mod core_scheduling;
pub(crate) mod denied;
pub(crate) mod label;
pub(crate) mod mounts;
pub(crate) mod numa;
pub(crate) mod outside;
pub(crate) mod pid_spaces;
pub(crate) mod pid_variables;
pub(crate) mod pty;
pub(crate) mod rings;
pub(crate) mod segments;
pub(crate) mod sessions;
pub(crate) mod sharing;
pub(crate) mod spaces;
pub(crate) mod spaces_below;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod user_spaces;
pub(crate) mod user_variables;
