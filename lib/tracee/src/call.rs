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
        let insn = home.build(way, saved, mask)?;
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

    /// The thread as it stands.
    pub fn tracee(&self) -> &Tracee {
        &self.tracee
    }

    /// The registers that it will go on with.
    pub fn saved(&self) -> &Regs {
        &self.saved
    }

    /// The signals that it blocks itself; all of them where the call was not begun safely.
    pub fn mask(&self) -> u64 {
        self.mask.unwrap_or(u64::MAX)
    }

    /// Where code of ours goes when it has put the extended state, the stack pointer, the flags, and the registers
    /// that functions keep, back: the rest is done there.
    pub fn way_home(&self) -> u64 {
        self.insn + home::BEHIND
    }

    /// Sets it behind the `syscall` of its way, out of any system call.
    pub(crate) fn turn_home(&self) -> Result<()> {
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

    /// Runs code of ours from the registers that `enter` makes of its own ones, until it sends `signal` to itself. To
    /// the process that must be a signal that is ignored by default, and neither handled nor blocked. Should we die,
    /// the code has to go on to [`RemoteCall::way_home`].
    pub fn run_code(&mut self, signal: i32, enter: impl FnOnce(&mut Regs)) -> Result<()> {
        let mut regs = self.saved;
        enter(&mut regs);
        self.tracee.set_regs(&regs)?;
        self.tracee.set_sigmask(!(1 << (signal - 1)))?;
        let ran = self.to_own_signal(signal);
        // It waits on its way, not in the code, which others may unmap.
        self.turn_home()?;
        self.tracee.set_sigmask(u64::MAX)?;
        ran
    }

    fn to_own_signal(&self, signal: i32) -> Result<()> {
        let mut pass = 0;
        loop {
            self.tracee.cont_with(pass)?;
            pass = match self.tracee.wait_stop()? {
                Stop::Signal(met) if met == signal && self.has_sent(signal)? => return Ok(()),
                // Somebody else's: the process ignores it.
                Stop::Signal(met) if met == signal => signal,
                stop => self.on_the_way(stop)?,
            };
        }
    }

    /// Whether it comes from tkill(2). (The sender of a signal is lost when the process may not queue more.)
    fn has_sent(&self, signal: i32) -> Result<bool> {
        let regs = self.tracee.regs()?;
        let call = (regs.orig_rax(), regs.rdi(), regs.rsi());
        Ok(call == (libc::SYS_tkill as u64, self.tracee.tid as u64, signal as u64))
    }

    /// What else may happen to a thread while it works for us; gives the signal to let it run on with.
    fn on_the_way(&self, stop: Stop) -> Result<i32> {
        match stop {
            Stop::Interrupted | Stop::Group(_) => Ok(0),
            // Cannot be blocked; the process is then stopped by job control, and stays so at detach.
            Stop::Signal(libc::SIGSTOP) => Ok(libc::SIGSTOP),
            Stop::Exited(_) | Stop::Killed(_) => {
                Err(self.tracee.error("run a system call", libc::ESRCH))
            }
            // Blocked signals are not delivered, so such a one was forced: a fault.
            stop => {
                let what = format!("it met {stop:?} meanwhile");
                Err(floe_sys::Error::because("run a system call", what).pid(self.tracee.tid as u32))
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
                Stop::Event(kind) => {
                    hook(Event { kind, message: self.tracee.event_message()? })?;
                }
                stop => signal = self.on_the_way(stop)?,
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
