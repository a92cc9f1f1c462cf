//! Descriptions of message queues, which are opened with their queue (`object/queue.rs`). Who is told of messages says so itself, when
//! signals are blocked: a message may come at any time, and no descriptor of the queue may be closed behind that.

use crate::{
    factory::Factory,
    named::seek,
    resource::{Context, ForFile},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, MessageQueue, OpenFile, Pid, Queue, SIGINFO};
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

    /// The value of a signal is 0: the kernel does not show it. Where a message has come while the tree was not there, the process is
    /// told of it as it would have been.
    fn apply(
        &self,
        context: Context<'_>,
        pid: Pid,
        fd: FdNum,
        script: &mut Script<'_>,
    ) -> Result<()> {
        let Some(notified) = self.notified else { return Ok(()) };
        let none = || Error::because("tell of messages", "its queue is not in the stream");
        let queue = context.tree.get::<Queue>(self.queue).ok_or_else(none)?;
        if notified.signal.is_some() {
            script.block_signals()?;
        }
        let (signal, how) = match notified.signal {
            Some(signal) => (signal, libc::SIGEV_SIGNAL),
            None => (0, libc::SIGEV_NONE),
        };
        let number = Arg::Val(u64::from(fd.0));
        let event = script.bytes(&words(&[0, 0, signal, how.cast_unsigned()], SIGEVENT));
        script.call(libc::SYS_mq_notify, [number, event.into()]);
        script.run()?;
        if context.files.has_missed(queue, self.file)? {
            script.call(libc::SYS_mq_notify, [number, Arg::Val(0)]);
            if notified.signal.is_some() {
                let info = words(&[signal, 0, libc::SI_MESGQ.cast_unsigned()], SIGINFO);
                let info = script.bytes(&info);
                let pid = Arg::Val(script.called(context.tree, pid.0)?);
                let args = [pid, Arg::Val(u64::from(signal)), info.into()];
                script.call(libc::SYS_rt_sigqueueinfo, args);
            }
        }
        Ok(())
    }
}

/// The beginning of a structure of which all else is 0.
fn words(words: &[u32], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(len, 0);
    bytes
}
