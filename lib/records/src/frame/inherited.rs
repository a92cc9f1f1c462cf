//! Pages that processes have from their parents since fork(2).

use crate::{Addr, Link, PAGE_SIZE, Pid, Resource, USER_END, ensure};
use serde::{Deserialize, Serialize};

/// Pages that a process shares with others copy-on-write: restore gives them to it as fork(2) did, by making it when its
/// parent has them at the same addresses. Long lists come as several records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inherited {
    /// Thread group.
    pub pid: Pid,
    /// What the ranges are.
    pub part: InheritedPart,
    /// Address and length in bytes of each, ascending.
    pub ranges: Vec<(Addr, u64)>,
}

/// What a list of ranges says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum InheritedPart {
    /// Put into its parent directly before it is made ([`ParentPages`](crate::ParentPages)); each is one of `Taken` too.
    Supplied,
    /// What it has from its parent when it is made, for itself or for its own children.
    Taken,
    /// Of all that it has had, by `Taken` or by `Supplied` of its children, what is its own content in the end. The rest is
    /// dropped.
    Kept,
}

impl Resource for Inherited {
    type Key = (Pid, InheritedPart, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, self.part, self.ranges.first().map_or(Addr(0), |first| first.0))
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        check_ranges(&self.ranges)
    }
}

/// Whether ranges, address and length of each, are of pages and ascend.
pub(crate) fn check_ranges(ranges: &[(Addr, u64)]) -> Result<(), String> {
    let mut end = 0;
    for &(Addr(start), len) in ranges {
        let aligned = start.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE);
        ensure(aligned, "a range does not lie on the borders of pages")?;
        ensure(start >= end && len > 0, "its ranges overlap or do not ascend")?;
        let last = start.checked_add(len).filter(|last| *last <= USER_END);
        end = last.ok_or("a range lies outside of user space")?;
    }
    Ok(())
}
