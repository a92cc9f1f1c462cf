//! Runs a batch by remote system calls, one by one: slow, but nothing of ours is in the target.

use crate::{Arg, Batch, Replies, Runner};
use floe_sys::{Error, Result, read_memory, write_memory};
use floe_tracee::{Event, RemoteCall, Scratch};

/// A runner over a stopped thread. Its signals must all be blocked.
///
/// After each run the thread has its registers back and stands in PTRACE_EVENT_STOP, unless the runner works
/// [within](PtraceRunner::within) a longer remote call.
pub struct PtraceRunner<'a> {
    tid: i32,
    remote: Remote<'a>,
    scratch: u64,
    room: usize,
    hook: Option<Box<dyn FnMut(Event) -> Result<()> + 'a>>,
}

enum Remote<'a> {
    /// Begun for each run at this `syscall` instruction.
    At(u64),
    /// Begun and ended by somebody else.
    Begun(&'a mut RemoteCall),
}

impl<'a> PtraceRunner<'a> {
    /// `insn`: a `syscall` instruction; `scratch`, `len`: writable memory, both in the target.
    pub fn new(tid: i32, insn: u64, scratch: u64, len: usize) -> Self {
        Self { tid, remote: Remote::At(insn), scratch, room: len, hook: None }
    }

    /// Runs within a remote call that has begun.
    pub fn within(remote: &'a mut RemoteCall, scratch: Scratch) -> Self {
        let (tid, scratch, room) = (remote.tid(), scratch.addr, scratch.len);
        Self { tid, remote: Remote::Begun(remote), scratch, room, hook: None }
    }

    /// Has `hook` called for event stops, so that new children are caught.
    #[must_use]
    pub fn on_event(mut self, hook: impl FnMut(Event) -> Result<()> + 'a) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    fn run_all(&mut self, batch: &Batch) -> Result<Vec<i64>> {
        let mut none = |_| Ok(());
        let hook: &mut dyn FnMut(Event) -> Result<()> = match &mut self.hook {
            Some(hook) => hook,
            None => &mut none,
        };
        match &mut self.remote {
            Remote::Begun(remote) => run_calls(remote, batch, self.scratch, hook),
            Remote::At(insn) => {
                let mut remote = RemoteCall::begin(self.tid, *insn)?;
                let results = run_calls(&mut remote, batch, self.scratch, hook);
                remote.finish()?;
                results
            }
        }
    }
}

fn run_calls(
    remote: &mut RemoteCall,
    batch: &Batch,
    scratch: u64,
    hook: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<Vec<i64>> {
    let mut results: Vec<i64> = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        let args = entry.args.map(|arg| match arg {
            Arg::Val(value) => value,
            Arg::Slot(slot, offset) => scratch + slot.at as u64 + offset,
            Arg::Result(call) => results[call.0] as u64,
        });
        let value = remote.call(entry.nr, args, hook)?;
        results.push(value);
        if entry.must && (-4095..0).contains(&value) {
            break;
        }
    }
    Ok(results)
}

impl Runner for PtraceRunner<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        if batch.data.len() > self.room {
            let what = format!("{} bytes of data, {} of room", batch.data.len(), self.room);
            return Err(Error::because("run system calls", what).pid(self.tid as u32));
        }
        let mut data = batch.data_at(self.scratch);
        write_memory(self.tid, self.scratch, &data)?;
        let results = self.run_all(batch)?;
        read_memory(self.tid, self.scratch, &mut data)?;
        Replies::new(self.tid, batch, results, data)
    }

    fn room(&self) -> usize {
        self.room
    }
}
