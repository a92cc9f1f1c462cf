//! One seized thread: a [`Tracee`] while it is stopped, a [`Running`] while it is not.

use crate::{
    Regs, Stop,
    raw::{self, Command, RegisterSet},
};
use floe_sys::{Error, Result};
use std::{cell::RefCell, io, sync::OnceLock};
use zerocopy::{FromBytes, IntoBytes};

/// More than any extended state known (AMX takes 11 KiB).
const XSTATE_MAX: usize = 64 << 10;

/// A thread that the calling thread traces and that is stopped.
///
/// Letting it run borrows it as [`Running`], so that its registers cannot be asked for meanwhile. If it is killed, every
/// method fails with [`Error::is_gone`]. Dropping one does nothing: the kernel detaches it when the tracing thread ends.
///
/// ```compile_fail,E0502
/// fn mixed_up(tracee: &mut floe_tracee::Tracee) -> floe_sys::Result<()> {
///     let running = tracee.cont(0)?;
///     tracee.regs()?;
///     running.wait().map(drop)
/// }
/// ```
#[derive(Debug)]
pub struct Tracee {
    pub(crate) tid: i32,
    stopped_by: Option<i32>,
}

/// A tracee that runs. Dropping this does not stop it: until it is waited for, all requests fail with ESRCH.
#[derive(Debug)]
#[must_use = "the thread runs until it is waited for"]
pub struct Running<'a>(&'a mut Tracee);

/// Where a thread has registered its restartable sequences area (`struct ptrace_rseq_configuration`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RseqConfig {
    /// Address of `struct rseq`, 0 for none.
    pub addr: u64,
    /// Its size, bytes.
    pub size: u32,
    /// The signature in front of abort handlers.
    pub signature: u32,
    /// Flags of the registration.
    pub flags: u32,
    pad: u32,
}

/// `struct rseq_cs` of include/uapi/linux/rseq.h.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct CriticalSection {
    version: u32,
    flags: u32,
    start: u64,
    len: u64,
    abort: u64,
}

impl Tracee {
    /// A thread that is already stopped and traced by the calling thread. Should it be neither, every method fails.
    pub fn of_stopped(tid: i32) -> Self {
        Self { tid, stopped_by: None }
    }

    /// Another handle of the same thread.
    pub(crate) fn alias(&self) -> Self {
        Self { tid: self.tid, stopped_by: self.stopped_by }
    }

    /// Waits for the first stop of a child that came to be traced through PTRACE_O_TRACECLONE and the like.
    pub fn adopt(tid: i32) -> Result<Self> {
        let mut tracee = Self::of_stopped(tid);
        match tracee.next_stop()? {
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

    /// The signal by which job control had stopped it before it was seized; it stays stopped after detach.
    pub fn stopped_by(&self) -> Option<i32> {
        self.stopped_by
    }

    pub(crate) fn error(&self, doing: &str, errno: i32) -> Error {
        self.fail(doing)(io::Error::from_raw_os_error(errno))
    }

    fn fail(&self, doing: &str) -> impl Fn(io::Error) -> Error {
        move |cause| Error::new(doing, cause).pid(self.tid as u32)
    }

    /// The general registers.
    pub fn regs(&self) -> Result<Regs> {
        let mut bytes = [0; 216];
        let len = raw::get_registers(self.tid, RegisterSet::General, &mut bytes)
            .map_err(self.fail("read the registers"))?;
        if len != bytes.len() {
            let what = "the register set has another size";
            return Err(Error::because("read the registers", what).pid(self.tid as u32));
        }
        Ok(Regs::from_bytes(&bytes))
    }

    /// Sets the general registers.
    pub fn set_regs(&self, regs: &Regs) -> Result<()> {
        raw::set_registers(self.tid, RegisterSet::General, regs.as_bytes())
            .map_err(self.fail("set the registers"))
    }

    /// The extended state (XSAVE format, its length is the machine's).
    pub fn xstate(&self) -> Result<Vec<u8>> {
        self.read_xstate(<[u8]>::to_vec)
    }

    /// The length of the extended state, bytes.
    pub fn xstate_len(&self) -> Result<usize> {
        self.read_xstate(<[u8]>::len)
    }

    fn read_xstate<T>(&self, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; XSTATE_MAX]);
        }
        BUFFER.with_borrow_mut(|bytes| {
            let len = raw::get_registers(self.tid, RegisterSet::Extended, bytes)
                .map_err(self.fail("read the extended registers"))?;
            Ok(take(&bytes[..len.min(XSTATE_MAX)]))
        })
    }

    /// Sets the extended state.
    pub fn set_xstate(&self, xstate: &[u8]) -> Result<()> {
        raw::set_registers(self.tid, RegisterSet::Extended, xstate)
            .map_err(self.fail("set the extended registers"))
    }

    /// The blocked signals, bit n-1 for signal n.
    pub fn sigmask(&self) -> Result<u64> {
        raw::signal_mask(self.tid).map_err(self.fail("read the signal mask"))
    }

    /// Sets the blocked signals.
    pub fn set_sigmask(&self, mask: u64) -> Result<()> {
        raw::set_signal_mask(self.tid, mask).map_err(self.fail("set the signal mask"))
    }

    /// The queued signals as siginfo, of the thread itself or those shared by its process.
    pub fn queued(&self, shared: bool) -> Result<Vec<[u8; 128]>> {
        let mut all = Vec::new();
        loop {
            let mut some = [[0; 128]; 16];
            let n = raw::peek_signals(self.tid, shared, all.len() as u64, &mut some)
                .map_err(self.fail("read the queued signals"))?;
            all.extend_from_slice(&some[..n]);
            if n < some.len() {
                return Ok(all);
            }
        }
    }

    /// The restartable sequences area, if one is registered.
    pub fn rseq(&self) -> Result<Option<RseqConfig>> {
        let config =
            raw::rseq_configuration(self.tid).map_err(self.fail("read the rseq registration"))?;
        Ok((config.addr != 0).then_some(config))
    }

    /// The registers to resume with. A thread inside a restartable sequence goes to its abort handler, as the kernel
    /// sends any thread that loses the CPU there.
    pub fn regs_outside_rseq(&self) -> Result<Regs> {
        /// Offset of the pointer to the current section in `struct rseq`.
        const RSEQ_CS: u64 = 8;
        let mut regs = self.regs()?;
        let Some(area) = self.rseq()? else { return Ok(regs) };
        let mut section = 0u64;
        floe_sys::read_memory(self.tid, area.addr + RSEQ_CS, section.as_mut_bytes())?;
        if section == 0 {
            return Ok(regs);
        }
        let mut cs = CriticalSection { version: 0, flags: 0, start: 0, len: 0, abort: 0 };
        floe_sys::read_memory(self.tid, section, cs.as_mut_bytes())?;
        if regs.rip().wrapping_sub(cs.start) < cs.len {
            // The kernel clears the pointer itself once it sees the thread outside of the section.
            regs.set_rip(cs.abort);
        }
        Ok(regs)
    }

    /// Sets PTRACE_O_* options.
    pub fn set_options(&self, options: i32) -> Result<()> {
        self.command(Command::SetOptions(options), "set the trace options")
    }

    /// Sets the filters of its system calls (seccomp(2)) aside until it is let go, with other PTRACE_O_* options; where we may
    /// not do that ([`may_suspend_seccomp`]), the options alone.
    pub fn suspend_seccomp(&self, options: i32) -> Result<()> {
        let all = if may_suspend_seccomp()? { options | SUSPEND_SECCOMP } else { options };
        self.set_options(all)
    }

    /// One of the filters of its system calls, from the oldest on: its instructions, of eight bytes each, and its flags. `None`
    /// behind the last one.
    ///
    /// # Errors
    /// EACCES without CAP_SYS_ADMIN, EMEDIUMTYPE for what is no program of classic BPF.
    pub fn seccomp_filter(&self, at: usize) -> Result<Option<(Vec<u8>, u64)>> {
        let mut program = Box::new([[0; 8]; raw::MAX_INSTRUCTIONS]);
        let fail = self.fail("read a filter of its system calls");
        let count = match raw::seccomp_filter(self.tid, at, Some(&mut program)) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            count => count.map_err(fail)?,
        };
        let fail = self.fail("read the flags of a filter of its system calls");
        let flags = raw::seccomp_flags(self.tid, at).map_err(fail)?;
        Ok(Some((program[..count].concat(), flags)))
    }

    /// The message of the last event stop: the new child's pid for clone, fork and vfork.
    pub fn event_message(&self) -> Result<u64> {
        raw::event_message(self.tid).map_err(self.fail("read the trace event"))
    }

    /// Lets it run, and receive a signal unless that is 0, until something happens.
    pub fn cont(&mut self, signal: i32) -> Result<Running<'_>> {
        self.command(Command::Continue(signal), "let it run")?;
        Ok(Running(self))
    }

    /// Lets it run, with a signal or 0, to the next entry or exit of a system call.
    pub fn cont_to_syscall(&mut self, signal: i32) -> Result<Running<'_>> {
        self.command(Command::ContinueToSyscall(signal), "let it run to a system call")?;
        Ok(Running(self))
    }

    /// From any ptrace stop to PTRACE_EVENT_STOP, without running an instruction unless a signal is delivered on the
    /// way. From there the kernel looks at the restart code of a system call.
    pub fn settle(&mut self) -> Result<()> {
        self.interrupt()?;
        self.cont(0)?.wait_interrupted()
    }

    /// Waits for its end, after it was sent SIGKILL. Its parent then sees it, when it was the last of its process.
    pub fn wait_end(self) -> Result<()> {
        while !self.next_stop()?.is_end() {}
        Ok(())
    }

    /// Whether it has come to its end, after it was sent SIGKILL; then it is waited for, or somebody else has done that.
    pub fn has_ended(&self) -> bool {
        loop {
            match raw::wait(self.tid, false) {
                Ok(None) => return false,
                Ok(Some(status)) if !Stop::of(status).is_end() => {}
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    /// Kills its process, and waits for its end.
    pub fn kill(self) -> Result<()> {
        raw::kill(self.tid).map_err(self.fail("kill it"))?;
        self.wait_end()
    }

    /// Lets it go. A thread that job control had stopped stays stopped.
    pub fn detach(self) -> Result<()> {
        self.command(Command::Detach, "detach from it")
    }

    fn interrupt(&self) -> Result<()> {
        self.command(Command::Interrupt, "interrupt it")
    }

    fn next_stop(&self) -> Result<Stop> {
        let status = raw::wait(self.tid, true)?;
        status.map(Stop::of).ok_or_else(|| self.error("wait for it to stop", libc::ESRCH))
    }

    /// Handles a stop that was met after an interrupt: true in PTRACE_EVENT_STOP, else the thread runs on, to receive
    /// the signal that stopped it, and is interrupted again.
    pub(crate) fn reached_event_stop(&mut self, stop: Stop) -> Result<bool> {
        let signal = match stop {
            Stop::Interrupted => return Ok(true),
            Stop::Group(signal) => {
                self.stopped_by = Some(signal);
                return Ok(true);
            }
            Stop::Exited(_) | Stop::Killed(_) => {
                return Err(self.error("stop it", libc::ESRCH));
            }
            // The kernel sets up the handler's frame, as it would have without a tracer.
            Stop::Signal(signal) => signal,
            Stop::Syscall | Stop::Event(_) => 0,
        };
        // Any trap clears a pending interrupt.
        self.interrupt()?;
        self.command(Command::Continue(signal), "let it run")?;
        Ok(false)
    }

    fn command(&self, command: Command, doing: &str) -> Result<()> {
        raw::command(self.tid, command).map_err(self.fail(doing))
    }
}

impl Running<'_> {
    /// Waits for the next stop, whatever it is. After an end ([`Stop::is_end`]) every request fails with ESRCH.
    pub fn wait(self) -> Result<Stop> {
        self.0.next_stop()
    }

    /// Interrupts it, and waits for PTRACE_EVENT_STOP.
    pub fn stop(self) -> Result<()> {
        self.0.interrupt()?;
        self.wait_interrupted()
    }

    /// Waits, after an interrupt, for PTRACE_EVENT_STOP; signals met before are delivered.
    fn wait_interrupted(self) -> Result<()> {
        loop {
            let stop = self.0.next_stop()?;
            if self.0.reached_event_stop(stop)? {
                return Ok(());
            }
        }
    }
}

/// PTRACE_O_SUSPEND_SECCOMP of include/uapi/linux/ptrace.h.
pub const SUSPEND_SECCOMP: i32 = 1 << 21;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whether we may set filters of system calls aside: with CAP_SYS_ADMIN, and without any of our own.
///
/// # Errors
/// Where our own status cannot be read.
pub fn may_suspend_seccomp() -> Result<bool> {
    static MAY: OnceLock<bool> = OnceLock::new();
    if let Some(may) = MAY.get() {
        return Ok(*may);
    }
    let may = !is_filtered()? && floe_sys::effective_capabilities()? & CAP_SYS_ADMIN != 0;
    Ok(*MAY.get_or_init(|| may))
}

/// Whether our own system calls are restricted (seccomp(2)), and so those of every child.
///
/// # Errors
/// Where our own status cannot be read.
pub fn is_filtered() -> Result<bool> {
    let own = floe_proc::Status::of(std::process::id())?;
    Ok(!matches!(own.line("Seccomp"), None | Some(b"0")))
}
