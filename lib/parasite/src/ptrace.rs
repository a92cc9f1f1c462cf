//! Runs a batch by remote system calls, one by one: slow, but without code of ours in the target.

use crate::{
    Batch, Replies, Runner,
    batch::is_error,
    split::{self, Piece, Value},
};
use floe_sys::{Result, read_memory, write_memory};
use floe_tracee::{Event, RemoteCall, Scratch};

/// A runner over a stopped thread. Its signals must all be blocked.
///
/// After each run the thread has its registers back and stands in PTRACE_EVENT_STOP, unless the runner works
/// [within](PtraceRunner::within) a longer remote call.
pub struct PtraceRunner<'a> {
    tid: i32,
    remote: Remote<'a>,
    scratch: Scratch,
    hook: Option<Box<Hook<'a>>>,
}

type Hook<'a> = dyn FnMut(Event) -> Result<()> + 'a;

enum Remote<'a> {
    /// Begun for each run at this `syscall` instruction.
    At(u64),
    /// Begun and ended by the caller.
    Begun(&'a mut RemoteCall),
}

impl<'a> PtraceRunner<'a> {
    /// `insn`: a `syscall` instruction; `scratch`, `len`: writable memory, both in the target.
    pub fn new(tid: i32, insn: u64, scratch: u64, len: usize) -> Self {
        let scratch = Scratch { addr: scratch, len };
        Self { tid, remote: Remote::At(insn), scratch, hook: None }
    }

    /// Runs within a remote call that has begun.
    pub fn within(remote: &'a mut RemoteCall, scratch: Scratch) -> Self {
        Self { tid: remote.tid(), remote: Remote::Begun(remote), scratch, hook: None }
    }

    /// Has `hook` called for event stops, so that new children are caught.
    #[must_use]
    pub fn on_event(mut self, hook: impl FnMut(Event) -> Result<()> + 'a) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }
}

/// Runs a batch within a remote call.
fn run_all(
    remote: &mut RemoteCall,
    batch: &Batch,
    scratch: Scratch,
    hook: &mut Hook<'_>,
) -> Result<Replies> {
    let (tid, base) = (remote.tid(), scratch.addr);
    split::run(
        tid,
        batch,
        |_, bytes| bytes <= scratch.len,
        |piece, known, data| {
            let mut bytes = piece.load(data, base);
            write_memory(tid, base, &bytes)?;
            let results = run_calls(remote, piece, base, known, hook)?;
            read_memory(tid, base, &mut bytes)?;
            piece.store(&bytes, data);
            Ok(results)
        },
    )
}

fn run_calls(
    remote: &mut RemoteCall,
    piece: &Piece<'_>,
    base: u64,
    known: &[i64],
    hook: &mut Hook<'_>,
) -> Result<Vec<i64>> {
    let mut results: Vec<i64> = Vec::with_capacity(piece.count());
    for (nr, must, args) in piece.calls(base, known) {
        let args = args.map(|arg| match arg {
            Value::Known(value) => value,
            Value::Result(n) => results[n] as u64,
        });
        let value = remote.call(nr, args, hook)?;
        results.push(value);
        if must && is_error(value) {
            break;
        }
    }
    Ok(results)
}

impl Runner for PtraceRunner<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Replies> {
        let mut none = |_| Ok(());
        let hook: &mut Hook<'_> = match &mut self.hook {
            Some(hook) => hook,
            None => &mut none,
        };
        match &mut self.remote {
            Remote::Begun(remote) => run_all(remote, batch, self.scratch, hook),
            Remote::At(insn) => {
                let mut remote = RemoteCall::begin(self.tid, *insn)?;
                let done = run_all(&mut remote, batch, self.scratch, hook);
                let back = remote.finish();
                // Of two failures, the first tells what went wrong.
                let done = done?;
                back.map(|()| done)
            }
        }
    }

    fn capacity(&self) -> usize {
        self.scratch.len
    }
}
