//! Pages that stay where the tree was, to be asked for.

use crate::{Addr, Link, Pid, Resource, frame::inherited::check_ranges};
use serde::{Deserialize, Serialize};

/// Pages of a process that are not in the stream, since they stay where it was: who restores it asks for them over the way that the
/// stream has come. Long lists come as several records. Of no use in an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftPages {
    /// Thread group.
    pub pid: Pid,
    /// Address and length in bytes of each range, ascending.
    pub ranges: Vec<(Addr, u64)>,
}

impl Resource for LeftPages {
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
