//! Wait statuses of a seized thread.

/// Why a seized thread has stopped, or how it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// PTRACE_EVENT_STOP by our interrupt (or the first stop of a new child).
    Interrupted,
    /// Stopped by job control with this signal.
    Group(i32),
    /// About to receive this signal.
    Signal(i32),
    /// At the entry or the exit of a system call.
    Syscall,
    /// A PTRACE_EVENT_* other than STOP.
    Event(i32),
    /// Ended by exit(2), with its exit code.
    Exited(i32),
    /// Ended by this signal.
    Killed(i32),
}

impl Stop {
    /// Reads the status word of waitpid.
    pub fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            return Stop::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) {
            return Stop::Killed(libc::WTERMSIG(status));
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Interrupted,
            libc::PTRACE_EVENT_STOP => Stop::Group(signal),
            0 if signal == libc::SIGTRAP | 0x80 => Stop::Syscall,
            0 => Stop::Signal(signal),
            event => Stop::Event(event),
        }
    }

    /// True when the thread ended.
    pub fn is_end(self) -> bool {
        matches!(self, Stop::Exited(_) | Stop::Killed(_))
    }
}
