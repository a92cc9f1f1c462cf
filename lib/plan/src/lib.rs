//! Records to steps: pure code that needs no root, no clock and no kernel.
//!
//! [`plan`] checks the metadata of a stream, which is input from a stranger, and gives the whole order of a restore as a list
//! of [`Step`]s. When a resource is applied is said by the phases in its line of the list in `lib/records`; [`Phase`] says in
//! which order they come.
#![forbid(unsafe_code)]

mod addresses;
mod cgroups;
mod check;
mod cpu;
mod descriptors;
mod early_groups;
mod family;
mod hole;
mod huge;
mod inherit;
mod later;
mod limits;
mod lineage;
mod machine;
mod orphans;
mod phase;
mod range_set;
mod room;
mod segments;
mod shared;
mod steps;
mod terminals;
mod unions;

pub use addresses::{NewAddress, map_addresses};
pub use check::ring;
pub use cpu::{fit_registers, forget_features};
pub use descriptors::{base, lacking_descriptors, uses};
pub use hole::HOLE;
pub use huge::huge_pages;
pub use inherit::{Change, Inheritance};
pub use later::{later, left, may_come_later};
pub use limits::lower_limits;
pub use lineage::{Differ, Equal, Heritage, Supply, heritage, sorts};
pub use machine::{CAP_SYS_RESOURCE, Extent, Machine};
pub use orphans::adopt_terminals;
pub use phase::Phase;
pub use room::{has_object_for, has_room_for, vma_at};
pub use steps::{Plan, Step, Subject, allow, plan};
pub use unions::unions_in_use;
