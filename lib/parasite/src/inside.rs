//! Runs batches by the payload in a traced stub: one stop for each batch, however many calls are in it.
//!
//! A stub has nothing of its own to go back to and dies with its tracer, so there is neither a doorbell nor a way
//! home: it is set at the payload, runs through its batch, and stops at a breakpoint.

use crate::{Batch, Replies, Room, Runner, abi};
use floe_sys::{Error, Result};
use floe_tracee::{Stop, Tracee};

/// A runner over a stopped stub. Of its signals SIGTRAP must not be blocked or ignored (the kernel would reset it), and
/// all others be blocked. The registers of the stub are not kept.
#[derive(Debug)]
pub struct Inside {
    tracee: Tracee,
    room: Room,
}

impl Inside {
    /// `tracee` shares the memory in which `room` is.
    pub fn new(tracee: &Tracee, room: Room) -> Self {
        Self { tracee: tracee.clone(), room }
    }

    /// Lets it run to the breakpoint.
    fn go(&self) -> Result<()> {
        let mut regs = self.tracee.regs()?;
        self.room.enter(&mut regs, abi::ONCE);
        self.tracee.set_regs(&regs)?;
        loop {
            self.tracee.cont()?;
            match self.tracee.wait_stop()? {
                Stop::Signal(libc::SIGTRAP) => return Ok(()),
                // A new child or thread, which is traced as well.
                Stop::Event(_) | Stop::Interrupted => {}
                stop => {
                    let what = format!("it stopped by {stop:?}");
                    return Err(
                        Error::because("run system calls", what).pid(self.tracee.tid() as u32)
                    );
                }
            }
        }
    }
}

impl Runner for Inside {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        self.room.run(self.tracee.tid(), batch, &mut || self.go())
    }

    fn room(&self) -> usize {
        Room::DATA
    }
}
