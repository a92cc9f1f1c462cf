//! Runs batches by the payload in a traced stub: one stop for each piece of a batch, however many calls are in it.
//!
//! A stub has no code of its own to return to and dies with its tracer, so it needs no return path: it is set at the
//! payload, runs through its batch, and stops at a breakpoint.

use crate::{Batch, PayloadLayout, Replies, Runner, abi};
use floe_sys::{Error, Result};
use floe_tracee::{Stop, Tracee};
use std::marker::PhantomData;

/// A runner over a stopped stub. Of its signals SIGTRAP must not be blocked or ignored (the kernel would reset it), and
/// all others be blocked. The registers of the stub are not kept.
#[derive(Debug)]
pub struct StubRunner<'a> {
    tracee: Tracee,
    layout: PayloadLayout,
    /// It must not be let go meanwhile.
    stub: PhantomData<&'a Tracee>,
}

impl<'a> StubRunner<'a> {
    /// `stub` shares the memory in which `layout` is.
    pub fn new(stub: &'a Tracee, layout: PayloadLayout) -> Self {
        Self { tracee: Tracee::of_stopped(stub.tid()), layout, stub: PhantomData }
    }
}

/// Lets a stub run to the breakpoint.
fn go(stub: &mut Tracee, layout: PayloadLayout) -> Result<()> {
    let mut regs = stub.regs()?;
    layout.enter(&mut regs, abi::STUB);
    stub.set_regs(&regs)?;
    loop {
        match stub.cont(0)?.wait()? {
            Stop::Signal(libc::SIGTRAP) => return Ok(()),
            // A new child or thread, which is traced as well.
            Stop::Event(_) | Stop::Interrupted => {}
            stop => {
                let what = format!("it stopped by {stop:?}");
                return Err(Error::because("run system calls", what).pid(stub.tid() as u32));
            }
        }
    }
}

impl Runner for StubRunner<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        let layout = self.layout;
        layout.run(self.tracee.tid(), batch, &mut || go(&mut self.tracee, layout))
    }

    fn capacity(&self) -> usize {
        PayloadLayout::CAPACITY
    }
}
