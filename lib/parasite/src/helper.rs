//! A helper that shares the memory of a process, and that the process waits for: what it does the process does not see.

use crate::{Batch, InjectedRunner};
use floe_sys::Result;
use floe_tracee::{Event, OPTIONS, Tracee};

/// Has the process of a runner make one, which `work` brings to its end. Gives whether that went well, and what `work` has given,
/// if it came to that.
pub(crate) fn by_helper<T>(
    runner: &mut InjectedRunner<'_>,
    doing: &str,
    work: impl Fn(Event) -> Result<T>,
) -> (Result<()>, Option<Result<T>>) {
    let mut batch = Batch::new();
    batch.label(doing);
    batch.copy();
    let leader = Tracee::of_stopped(runner.tid());
    // What is made inherits the options, and so what becomes of filters.
    if let Err(error) = leader.suspend_seccomp(OPTIONS | libc::PTRACE_O_TRACECLONE) {
        return (Err(error), None);
    }
    let mut made = None;
    let ran = runner.run_with(&batch, &mut |event| {
        if event.kind == libc::PTRACE_EVENT_CLONE {
            // Whatever comes of it, the process goes on, and waits for the helper.
            made = Some(work(event));
        }
        Ok(())
    });
    let back = leader.suspend_seccomp(OPTIONS);
    (ran.map(drop).and(back), made)
}
