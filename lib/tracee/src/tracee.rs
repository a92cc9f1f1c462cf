//! One seized thread.

use crate::{Regs, Stop, raw};
use floe_sys::{Error, Result};
use std::io;

const NT_PRSTATUS: u64 = 1;
const NT_X86_XSTATE: u64 = 0x202;
/// More than any extended state known (AMX takes 11 KiB).
const XSTATE_MAX: usize = 64 << 10;

/// A thread that this thread has seized and that stands still (unless [`Tracee::cont`] let it run).
///
/// Dropping one does nothing: the kernel detaches when the tracing thread ends.
#[derive(Debug, Clone)]
pub struct Tracee {
    pub(crate) tid: i32,
    /// The job-control signal it was stopped by when it was seized.
    pub(crate) stopped_by: Option<i32>,
}

/// Where a thread has registered its restartable sequences area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RseqConfig {
    /// Address of `struct rseq`, 0 for none.
    pub addr: u64,
    /// Its size.
    pub size: u32,
    /// The signature before abort handlers.
    pub signature: u32,
    /// Flags of the registration.
    pub flags: u32,
    pad: u32,
}

impl Tracee {
    /// A thread that is already this thread's tracee and stopped.
    pub fn of_stopped(tid: i32) -> Self {
        Self { tid, stopped_by: None }
    }

    /// Waits for the first stop of a child that came to be traced through PTRACE_O_TRACECLONE and the like.
    pub fn adopt(tid: i32) -> Result<Self> {
        let mut tracee = Self::of_stopped(tid);
        match tracee.wait_stop()? {
            Stop::Group(signal) => tracee.stopped_by = Some(signal),
            stop if stop.is_end() => return Err(tracee.error("adopt it", libc::ESRCH)),
            _ => {}
        }
        Ok(tracee)
    }

    /// Its thread id.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The signal by which job control had stopped it before we came; it stays stopped after detach.
    pub fn stopped_by(&self) -> Option<i32> {
        self.stopped_by
    }

    pub(crate) fn error(&self, doing: &str, errno: i32) -> Error {
        self.fail(doing, io::Error::from_raw_os_error(errno))
    }

    fn fail(&self, doing: &str, cause: io::Error) -> Error {
        Error::new(doing, cause).pid(self.tid as u32)
    }

    /// The general registers.
    pub fn regs(&self) -> Result<Regs> {
        let mut bytes = [0; 216];
        raw::regset(libc::PTRACE_GETREGSET, self.tid, NT_PRSTATUS, &mut bytes)
            .map_err(|e| self.fail("read the registers", e))?;
        Ok(Regs::from_bytes(&bytes))
    }

    /// Sets the general registers.
    pub fn set_regs(&self, regs: &Regs) -> Result<()> {
        raw::regset(libc::PTRACE_SETREGSET, self.tid, NT_PRSTATUS, &mut regs.to_bytes())
            .map_err(|e| self.fail("set the registers", e))
            .map(drop)
    }

    /// The extended state (XSAVE format, its length is the machine's).
    pub fn xstate(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; XSTATE_MAX];
        let n = raw::regset(libc::PTRACE_GETREGSET, self.tid, NT_X86_XSTATE, &mut bytes)
            .map_err(|e| self.fail("read the extended registers", e))?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Sets the extended state.
    pub fn set_xstate(&self, xstate: &[u8]) -> Result<()> {
        let mut copy = xstate.to_vec();
        raw::regset(libc::PTRACE_SETREGSET, self.tid, NT_X86_XSTATE, &mut copy)
            .map_err(|e| self.fail("set the extended registers", e))
            .map(drop)
    }

    /// The blocked signals, bit n-1 for signal n.
    pub fn sigmask(&self) -> Result<u64> {
        let mut mask = 0u64;
        raw::with(raw::PTRACE_GETSIGMASK, self.tid, 8, &mut mask)
            .map_err(|e| self.fail("read the signal mask", e))?;
        Ok(mask)
    }

    /// Sets the blocked signals.
    pub fn set_sigmask(&self, mut mask: u64) -> Result<()> {
        raw::with(raw::PTRACE_SETSIGMASK, self.tid, 8, &mut mask)
            .map_err(|e| self.fail("set the signal mask", e))
            .map(drop)
    }

    /// The queued signals as siginfo, of the thread itself or those shared by its process.
    pub fn queued(&self, shared: bool) -> Result<Vec<[u8; 128]>> {
        let mut all = Vec::new();
        loop {
            let mut some = [[0; 128]; 16];
            let n = raw::peek_signals(self.tid, shared, all.len() as u64, &mut some)
                .map_err(|e| self.fail("read the queued signals", e))?;
            all.extend_from_slice(&some[..n]);
            if n < some.len() {
                return Ok(all);
            }
        }
    }

    /// The restartable sequences area, if one is registered.
    pub fn rseq(&self) -> Result<Option<RseqConfig>> {
        let mut config = RseqConfig::default();
        let size = size_of::<RseqConfig>() as u64;
        raw::with(raw::PTRACE_GET_RSEQ_CONFIGURATION, self.tid, size, &mut config)
            .map_err(|e| self.fail("read the rseq registration", e))?;
        Ok((config.addr != 0).then_some(config))
    }

    /// The registers it must go on with. A thread in the midst of a restartable sequence goes to its abort
    /// handler, as the kernel does with any thread that loses the CPU there.
    pub fn regs_outside_rseq(&self) -> Result<Regs> {
        let mut regs = self.regs()?;
        let Ok(Some(area)) = self.rseq() else { return Ok(regs) };
        let mut word = [0; 8];
        floe_sys::read_memory(self.tid, area.addr + 8, &mut word)?;
        let section = u64::from_ne_bytes(word);
        if section == 0 {
            return Ok(regs);
        }
        // struct rseq_cs: version, flags, start_ip, post_commit_offset, abort_ip.
        let mut cs = [0; 32];
        floe_sys::read_memory(self.tid, section, &mut cs)?;
        let at = |i: usize| u64::from_ne_bytes(cs.as_chunks::<8>().0[i]);
        if regs.rip().wrapping_sub(at(1)) < at(2) {
            // The kernel forgets the section by itself when it sees the thread outside of it.
            regs.set_rip(at(3));
        }
        Ok(regs)
    }

    /// Waits, after [`Tracee::interrupt`], for PTRACE_EVENT_STOP; signals met before are delivered.
    pub fn wait_interrupted(&mut self) -> Result<()> {
        self.reach_event_stop()
    }

    /// Sets PTRACE_O_* options.
    pub fn set_options(&self, options: i32) -> Result<()> {
        self.request(libc::PTRACE_SETOPTIONS, options as u64, "set the trace options")
    }

    /// The message of the last event stop: the new child's pid for clone, fork and vfork.
    pub fn event_message(&self) -> Result<u64> {
        let mut message = 0u64;
        raw::with(libc::PTRACE_GETEVENTMSG, self.tid, 0, &mut message)
            .map_err(|e| self.fail("read the trace event", e))?;
        Ok(message)
    }

    /// Lets it run until something happens.
    pub fn cont(&self) -> Result<()> {
        self.cont_with(0)
    }

    /// Lets it run and receive a signal.
    pub fn cont_with(&self, signal: i32) -> Result<()> {
        self.request(libc::PTRACE_CONT, signal as u64, "let it run")
    }

    /// Lets it run, with a signal or 0, to the next entry or exit of a system call.
    pub fn cont_to_syscall(&self, signal: i32) -> Result<()> {
        self.request(libc::PTRACE_SYSCALL, signal as u64, "let it run to a system call")
    }

    /// Asks it to stop; [`Tracee::wait_stop`] tells when it did.
    pub fn interrupt(&self) -> Result<()> {
        self.request(raw::PTRACE_INTERRUPT, 0, "interrupt it")
    }

    /// Waits for the next stop, whatever it is.
    pub fn wait_stop(&self) -> Result<Stop> {
        let status = raw::wait(self.tid, true)?;
        status.map(Stop::of).ok_or_else(|| self.error("wait for it to stop", libc::ECHILD))
    }

    /// The next stop if it has come already.
    pub fn poll_stop(&self) -> Result<Option<Stop>> {
        Ok(raw::wait(self.tid, false)?.map(Stop::of))
    }

    /// From any ptrace stop to PTRACE_EVENT_STOP, without running an instruction unless a signal is
    /// delivered on the way. Only from there does the kernel look at the restart code of a system call.
    pub fn settle(&mut self) -> Result<()> {
        self.interrupt()?;
        self.cont()?;
        self.reach_event_stop()
    }

    /// Waits, after an interrupt, for PTRACE_EVENT_STOP; signals met before are delivered.
    pub(crate) fn reach_event_stop(&mut self) -> Result<()> {
        loop {
            let stop = self.wait_stop()?;
            if self.take_stop(stop)? {
                return Ok(());
            }
        }
    }

    /// One step of [`Tracee::reach_event_stop`]: true when it has been reached.
    pub(crate) fn take_stop(&mut self, stop: Stop) -> Result<bool> {
        let signal = match stop {
            Stop::Interrupted => return Ok(true),
            Stop::Group(signal) => {
                self.stopped_by = Some(signal);
                return Ok(true);
            }
            Stop::Exited(_) | Stop::Killed(_) => {
                return Err(self.error("stop it", libc::ESRCH));
            }
            // The kernel sets up the handler's frame, as it would have without us.
            Stop::Signal(signal) => signal,
            Stop::Syscall | Stop::Event(_) => 0,
        };
        // Any trap clears a pending interrupt, so it is asked for again.
        self.interrupt()?;
        self.cont_with(signal)?;
        Ok(false)
    }

    /// Lets it go. A thread that job control had stopped stays stopped.
    pub fn detach(self) -> Result<()> {
        self.request(libc::PTRACE_DETACH, 0, "detach from it")
    }

    fn request(&self, request: u32, data: u64, doing: &str) -> Result<()> {
        raw::number(request, self.tid, 0, data).map_err(|e| self.fail(doing, e)).map(drop)
    }
}
