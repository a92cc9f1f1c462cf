//! A system call made in the place of a stopped thread.

use crate::{Home, Regs, Stop, Tracee, home};
use floe_sys::Result;

/// An event stop met during a remote call: a new child, for example. The child is traced too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// PTRACE_EVENT_*.
    pub kind: i32,
    /// PTRACE_GETEVENTMSG: the child's pid as the tracer sees it.
    pub message: u64,
}

/// Makes a stopped thread do system calls; [`RemoteCall::finish`] puts it back as it was.
///
/// All signals of the thread must be blocked. PTRACE_SYSCALL is used and not PTRACE_SINGLESTEP: a step
/// reports by a forced SIGTRAP, which would unblock that signal and reset its handler.
#[derive(Debug)]
pub struct RemoteCall {
    tracee: Tracee,
    insn: u64,
    saved: Regs,
    /// The mask to go back to, where the call is made on a way home.
    mask: Option<u64>,
}

impl RemoteCall {
    /// Begins; `insn` is the address of a `syscall` instruction in the target.
    pub fn begin(tid: i32, insn: u64) -> Result<Self> {
        let tracee = Tracee::of_stopped(tid);
        let saved = tracee.regs()?;
        Ok(Self { tracee, insn, saved, mask: None })
    }

    /// Begins on a way home: if we die, the thread goes back by itself. Signals are blocked until the end.
    pub fn begin_safely(tracee: &Tracee, home: &Home, way: usize) -> Result<Self> {
        // In a restartable sequence the thread must go to its abort handler, since other code runs now.
        let (saved, mask) = (tracee.regs_outside_rseq()?, tracee.sigmask()?);
        Self::begin_as(tracee, home, way, &saved, mask)
    }

    /// Like [`RemoteCall::begin_safely`] for a thread that is to go on with other registers than it has now.
    pub fn begin_as(
        tracee: &Tracee,
        home: &Home,
        way: usize,
        saved: &Regs,
        mask: u64,
    ) -> Result<Self> {
        let insn = home.build(way, saved, mask, None)?;
        let this = Self { tracee: tracee.clone(), insn, saved: *saved, mask: Some(mask) };
        // The order counts: at each moment the thread could be let go.
        this.turn_home()?;
        tracee.set_sigmask(u64::MAX)?;
        Ok(this)
    }

    /// The thread.
    pub fn tid(&self) -> i32 {
        self.tracee.tid
    }

    /// Sets it behind the `syscall` of its way, out of any system call.
    fn turn_home(&self) -> Result<()> {
        let mut regs = self.saved;
        regs.set_rip(self.insn + home::BEHIND).set_orig_rax(u64::MAX);
        self.tracee.set_regs(&regs)
    }

    /// One call; gives the raw result, negative errno for a failure.
    pub fn call(
        &mut self,
        nr: i64,
        args: [u64; 6],
        hook: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<i64> {
        loop {
            let mut regs = self.saved;
            // orig_rax -1 says "not in a system call": nothing to restart.
            regs.set_rax(nr as u64).set_orig_rax(u64::MAX).set_rip(self.insn).set_args(args);
            self.tracee.set_regs(&regs)?;
            self.to_syscall_stop(hook)?;
            self.to_syscall_stop(hook)?;
            let result = self.tracee.regs()?.rax() as i64;
            // ERESTARTSYS to ERESTART_RESTARTBLOCK: an interrupt came across; ask again.
            if !(-516..=-512).contains(&result) {
                return Ok(result);
            }
        }
    }

    fn to_syscall_stop(&self, hook: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let mut signal = 0;
        loop {
            self.tracee.cont_to_syscall(signal)?;
            signal = 0;
            match self.tracee.wait_stop()? {
                Stop::Syscall => return Ok(()),
                Stop::Interrupted | Stop::Group(_) => {}
                Stop::Event(kind) => {
                    hook(Event { kind, message: self.tracee.event_message()? })?;
                }
                // Cannot be blocked; the process is then stopped by job control, and stays so at detach.
                Stop::Signal(libc::SIGSTOP) => signal = libc::SIGSTOP,
                Stop::Signal(signal) => {
                    // Blocked signals are not delivered, so this one was forced: a fault.
                    let what = format!("signal {signal} came during a remote system call");
                    return Err(floe_sys::Error::because("run a system call", what)
                        .pid(self.tracee.tid as u32));
                }
                Stop::Exited(_) | Stop::Killed(_) => {
                    return Err(self.tracee.error("run a system call", libc::ESRCH));
                }
            }
        }
    }

    /// Like [`RemoteCall::finish`], but with other registers than it began with.
    pub fn finish_with(mut self, regs: &Regs) -> Result<()> {
        self.saved = *regs;
        self.finish()
    }

    /// Puts the registers back and leaves the thread in PTRACE_EVENT_STOP, where the kernel still honours the
    /// restart code of the system call that was interrupted in the first place.
    pub fn finish(mut self) -> Result<()> {
        let Some(mask) = self.mask else {
            self.tracee.set_regs(&self.saved)?;
            return self.tracee.settle();
        };
        self.turn_home()?;
        self.tracee.settle()?;
        self.tracee.set_sigmask(mask)?;
        self.tracee.set_regs(&self.saved)
    }

    /// Ends on the way home, which the thread goes by itself when it is let go.
    pub(crate) fn leave(self) {
        // Where even that fails it stands there already: behind its last call.
        let _ = self.turn_home();
    }

    /// Ends with other registers and with all signals blocked: whoever runs there goes home by itself.
    pub fn hand_over(mut self, regs: &Regs) -> Result<()> {
        self.turn_home()?;
        self.tracee.settle()?;
        self.tracee.set_regs(regs)
    }
}
