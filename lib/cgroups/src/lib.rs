//! Hierarchies of control groups (cgroups(7)): who is a member where, where they are mounted, and their directories. Knows no
//! records.
#![forbid(unsafe_code)]

mod directory;
mod hierarchy;

pub use directory::Directory;
pub use hierarchy::{Line, Mounts, is_of, is_same_hierarchy, lines, relative};
