//! System calls made by a stopped thread.

use crate::{
    Regs, Stop, Tracee,
    trampoline::{ReturnPath, SYSCALL, Trampoline},
};
use floe_sys::{Error, Result};

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
    /// The mask to go back to, where the call is made on a return path.
    mask: Option<u64>,
    /// It stands behind the `syscall` of its return path.
    parked: bool,
    /// It stands where the kernel looks for signals: from there, and from no other stop, it looks at the restart code of a system
    /// call (`get_signal` of kernel/signal.c, which both PTRACE_EVENT_STOP and the delivery of a signal are stops in).
    restarts: bool,
}

impl RemoteCall {
    /// Begins; `insn` is the address of a `syscall` instruction in the target. Nothing puts the thread back if we die.
    pub fn begin(tid: i32, insn: u64) -> Result<Self> {
        let tracee = Tracee::of_stopped(tid);
        let saved = tracee.regs()?;
        Ok(Self { tracee, insn, saved, mask: None, parked: false, restarts: false })
    }

    /// Begins on a return path: if we die, the thread goes back by itself. Signals are blocked until the end.
    pub(crate) fn begin_on(
        tracee: &Tracee,
        trampoline: &Trampoline,
        path: ReturnPath,
    ) -> Result<Self> {
        // In a restartable sequence the thread must go to its abort handler, since other code runs now.
        let (saved, mask) = (tracee.regs_outside_rseq()?, tracee.sigmask()?);
        let insn = trampoline.build(path, &saved, mask)?;
        let (tracee, mask) = (tracee.alias(), Some(mask));
        let mut this = Self { tracee, insn, saved, mask, parked: false, restarts: true };
        // The order counts: at each moment the thread could be let go.
        this.park()?;
        this.tracee.set_sigmask(u64::MAX)?;
        Ok(this)
    }

    /// The thread's id.
    pub fn tid(&self) -> i32 {
        self.tracee.tid
    }

    /// The thread.
    pub fn tracee(&self) -> &Tracee {
        &self.tracee
    }

    /// The registers that it will go on with.
    pub fn saved(&self) -> &Regs {
        &self.saved
    }

    /// The signals that it blocks itself; all of them where the call was not begun on a return path.
    pub fn mask(&self) -> u64 {
        self.mask.unwrap_or(u64::MAX)
    }

    /// Where injected code continues after it has restored the extended state, the stack pointer, the flags, and the
    /// registers that functions preserve: the return path restores the rest.
    pub fn return_path(&self) -> u64 {
        self.insn + SYSCALL
    }

    /// Sets it behind the `syscall` of its return path, out of any system call.
    pub(crate) fn park(&mut self) -> Result<()> {
        if !self.parked {
            let mut regs = self.saved;
            regs.set_rip(self.return_path()).set_orig_rax(u64::MAX);
            self.tracee.set_regs(&regs)?;
            self.parked = true;
        }
        Ok(())
    }

    /// Sets the registers to run with.
    fn depart(&mut self, regs: &Regs) -> Result<()> {
        (self.parked, self.restarts) = (false, false);
        self.tracee.set_regs(regs)
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
            self.depart(&regs)?;
            self.run_to_syscall_stop(hook)?;
            self.run_to_syscall_stop(hook)?;
            let result = self.tracee.regs()?.rax() as i64;
            // ERESTARTSYS to ERESTART_RESTARTBLOCK: an interrupt came across; call again.
            if !(-516..=-512).contains(&result) {
                return Ok(result);
            }
        }
    }

    /// Runs injected code, with the registers that `enter` makes of the saved ones, until it sends `signal` to itself.
    /// The process must neither handle nor block that signal, and its default action must be to ignore it. If we die, the
    /// code has to continue to [`RemoteCall::return_path`].
    /// `hook` is called at event stops.
    pub fn run_code(
        &mut self,
        signal: i32,
        enter: impl FnOnce(&mut Regs),
        hook: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let mut regs = self.saved;
        enter(&mut regs);
        self.depart(&regs)?;
        self.tracee.set_sigmask(!(1 << (signal - 1)))?;
        let ran = self.run_to_own_signal(signal, hook);
        self.restarts = ran.is_ok();
        // Until the next run it waits on its path and not in the code, which another thread's path may unmap.
        let parked = self.park().and_then(|()| self.tracee.set_sigmask(u64::MAX));
        ran.and(parked)
    }

    fn run_to_own_signal(
        &mut self,
        signal: i32,
        hook: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let mut pass = 0;
        loop {
            pass = match self.tracee.cont(pass)?.wait()? {
                Stop::Signal(met) if met == signal && self.has_sent(signal)? => return Ok(()),
                // Somebody else's: the process ignores it.
                Stop::Signal(met) if met == signal => signal,
                Stop::Event(kind) => {
                    hook(Event { kind, message: self.tracee.event_message()? })?;
                    0
                }
                stop => self.signal_to_pass(stop)?,
            };
        }
    }

    /// Whether the thread stopped in its own tkill(2), which it makes for itself alone. (The sender of a signal is lost when the
    /// process has reached its limit of queued signals.)
    fn has_sent(&self, signal: i32) -> Result<bool> {
        let regs = self.tracee.regs()?;
        Ok((regs.orig_rax(), regs.rsi()) == (libc::SYS_tkill as u64, signal as u64))
    }

    /// The signal to let the thread run on with after a stop that is not the awaited one.
    fn signal_to_pass(&self, stop: Stop) -> Result<i32> {
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
                Err(Error::because("run a system call", what).pid(self.tracee.tid as u32))
            }
        }
    }

    fn run_to_syscall_stop(&mut self, hook: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let mut signal = 0;
        loop {
            signal = match self.tracee.cont_to_syscall(signal)?.wait()? {
                Stop::Syscall => return Ok(()),
                Stop::Event(kind) => {
                    hook(Event { kind, message: self.tracee.event_message()? })?;
                    0
                }
                stop => self.signal_to_pass(stop)?,
            };
        }
    }

    /// Makes a last call; what follows is [`RemoteCall::finish`]. The two take fewer stops than after [`RemoteCall::call`], since the
    /// interrupt stops it behind the call. That must be one that the kernel does not interrupt. Gives the raw result.
    pub fn last_call(&mut self, nr: i64, args: [u64; 6]) -> Result<i64> {
        let mut call = self.saved;
        call.set_rax(nr as u64).set_orig_rax(u64::MAX).set_rip(self.insn).set_args(args);
        self.depart(&call)?;
        self.run_to_syscall_stop(&mut |_| Ok(()))?;
        self.tracee.settle()?;
        // Behind the `syscall` of a return path begins the path.
        (self.parked, self.restarts) = (self.mask.is_some(), true);
        Ok(self.tracee.regs()?.rax() as i64)
    }

    /// Makes a last call and finishes with other registers. The call must be one that the kernel does not interrupt.
    pub fn finish_after(mut self, nr: i64, args: [u64; 6], regs: &Regs) -> Result<i64> {
        let result = self.last_call(nr, args)?;
        self.tracee.set_regs(regs)?;
        Ok(result)
    }

    /// Puts the registers back and leaves the thread in a stop from which the kernel still honours the restart code of the
    /// system call that was interrupted in the first place.
    pub fn finish(mut self) -> Result<()> {
        let Some(mask) = self.mask else {
            self.tracee.set_regs(&self.saved)?;
            return if self.restarts { Ok(()) } else { self.tracee.settle() };
        };
        self.park()?;
        // Each stop that can be done without spares the thread, and us, a turn.
        if !self.restarts {
            self.tracee.settle()?;
        }
        self.tracee.set_sigmask(mask)?;
        self.tracee.set_regs(&self.saved)
    }

    /// Leaves the thread on its return path, which it takes when it is let go.
    pub(crate) fn abandon(mut self) {
        // Where even this fails it is there already: behind its last call.
        let _ = self.park();
    }
}
