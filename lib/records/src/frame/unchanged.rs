//! Pages that have not changed since the parent of an image.

use crate::{Addr, Link, Pid, Resource, frame::inherited::check_ranges};
use serde::{Deserialize, Serialize};

/// Pages of a process that are in its memory and are what they were in the image of [`Parent`](crate::Parent), which are not in
/// this one. Pages of the parent that are neither here nor among those that are sent are gone. Long lists come as several records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unchanged {
    /// Thread group.
    pub pid: Pid,
    /// Address and length in bytes of each, ascending.
    pub ranges: Vec<(Addr, u64)>,
}

impl Unchanged {
    /// Ranges of one record.
    pub const MOST: usize = 16 << 10;
}

impl Resource for Unchanged {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, self.ranges.first().map_or(Addr(0), |first| first.0))
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        check_ranges(&self.ranges)
    }
}
