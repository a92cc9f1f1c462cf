//! Descriptions of message queues, which are opened with their queue (`object/queue.rs`). Who is told of messages says so itself, when
//! signals are blocked: a message may come at any time, and no descriptor of the queue may be closed behind that.

use crate::{
    factory::Factory,
    named::seek,
    resource::{Context, ForFile},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, MessageQueue, OpenFile, Pid};
use floe_sys::{Error, Result};
use std::os::fd::OwnedFd;

/// Size of `struct sigevent`.
const SIGEVENT: usize = 64;

impl ForFile for MessageQueue {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let gone = || Error::because("open it", "its message queue is not there");
        let fd = make.message_queues.remove(&self.file).ok_or_else(gone)?;
        seek(&fd, open)?;
        Ok(fd)
    }

    fn apply(&self, _: Context<'_>, _: Pid, fd: FdNum, script: &mut Script<'_>) -> Result<()> {
        let Some(notified) = self.notified else { return Ok(()) };
        let how = notified.signal.map_or(libc::SIGEV_NONE, |_| libc::SIGEV_SIGNAL);
        // The value comes first, which the kernel does not show.
        let mut event = 0u64.to_ne_bytes().to_vec();
        event.extend(notified.signal.unwrap_or(0).to_ne_bytes());
        event.extend(how.to_ne_bytes());
        event.resize(SIGEVENT, 0);
        let event = script.bytes(&event);
        script.call(libc::SYS_mq_notify, [Arg::Val(u64::from(fd.0)), event.into()]);
        Ok(())
    }
}
