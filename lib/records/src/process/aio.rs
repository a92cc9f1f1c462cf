//! Contexts of asynchronous I/O (io_setup(2)).

use crate::{Addr, Bytes, Pid, Resource, USER_END, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of an event (`struct io_event` of include/uapi/linux/aio_abi.h), and of what stands in front of them in a ring.
pub const AIO_EVENT: u64 = 32;
/// Most events that a ring can have: the kernel takes no more than /proc/sys/fs/aio-max-nr, which is a number of 32 bits.
const MOST: u32 = 1 << 27;

/// The contexts of an address space.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aio {
    /// Thread group.
    pub pid: Pid,
    /// Ascending.
    pub contexts: Vec<AioContext>,
}

/// A context: its ring, which is mapped, and events that wait in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AioContext {
    /// Where the ring is, which is what programs call the context by.
    pub at: Addr,
    /// Events that there is room for.
    pub nr: u32,
    /// The first event that waits, below `nr`.
    pub head: u32,
    /// Where the kernel puts the next one, below `nr`.
    pub tail: u32,
    /// Those that wait, in their order, [`AIO_EVENT`] bytes each.
    pub events: Bytes,
}

impl AioContext {
    /// How many events wait.
    pub fn waiting(&self) -> u32 {
        (self.tail + self.nr - self.head) % self.nr
    }

    /// Bytes of the ring, without what is left of its last page.
    pub fn bytes(&self) -> u64 {
        AIO_EVENT * (1 + u64::from(self.nr))
    }
}

impl Resource for Aio {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let ascending = self.contexts.windows(2).all(|two| two[0].at < two[1].at);
        ensure(ascending, "its contexts of asynchronous I/O are not in ascending order")?;
        self.contexts.iter().try_for_each(|context| {
            let sane = (8..MOST).contains(&context.nr)
                && context.head.max(context.tail) < context.nr
                && context.at.0.is_multiple_of(4096)
                && context.at.0 < USER_END;
            ensure(sane, "a context of asynchronous I/O has an impossible ring")?;
            let all = u64::from(context.waiting()) * AIO_EVENT == context.events.0.len() as u64;
            ensure(all, "a context of asynchronous I/O has not the events that it says")
        })
    }
}
