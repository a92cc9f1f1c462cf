//! POSIX message queues in IPC namespaces that restore has made, of those that nobody has open. They are empty.

use crate::{attributes::set_owner, resource::ForNamespace, spaces::Spaces};
use floe_records::{ClosedQueues, Queue};
use floe_sys::{Error, Result, make_queue, set_times};

impl ForNamespace for ClosedQueues {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        spaces.furnish(self.id, || self.all.iter().try_for_each(make))
    }
}

fn make(was: &Queue) -> Result<()> {
    let queue = make_queue(&was.name.0, was.max_messages, was.message_size)?;
    let fail = |e| Error::new(format!("set the owner of {}", was.name), e);
    set_owner(&queue, (was.uid, was.gid), was.mode).map_err(fail)?;
    set_times(&queue, was.times)
}
