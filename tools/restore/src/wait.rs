//! The wait for the root task. What somebody sends to restore meanwhile is meant for the root task, as it would get it as a
//! child of a shell.

use crate::foreground::Foreground;
use floe_proc::Status;
use nix::{
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Signals that would end restore and leave the tree without its parent.
const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Waits for a child, and reaps orphans that are left to us.
pub struct Waiter {
    signals: SignalFd,
    foreground: Option<Foreground>,
}

impl Waiter {
    /// From here on signals are kept for [`Waiter::wait`]. Those that restore was told to ignore (nohup(1)) are not.
    pub fn new(foreground: Option<Foreground>) -> anyhow::Result<Self> {
        let ignored = Status::of(std::process::id())?.hex("SigIgn")?;
        let heard = |signal: &Signal| ignored >> (*signal as i32 - 1) & 1 == 0;
        let mut set: SigSet = FORWARDED.into_iter().filter(heard).collect();
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, foreground })
    }

    /// The tree runs.
    pub fn greet(&self) {
        self.foreground.iter().for_each(Foreground::greet);
    }

    /// Waits until `child` ends; gives its exit code, 128 + n when signal n ended it.
    pub fn wait(mut self, child: Pid) -> anyhow::Result<u8> {
        loop {
            if let Some(code) = self.reap(child)? {
                return Ok(code);
            }
            let Some(info) = self.signals.read_signal()? else { continue };
            // What the kernel sends for a key or a hang-up, it sends to the job as well.
            let sent = info.ssi_code <= 0;
            if sent
                && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
                && signal != Signal::SIGCHLD
            {
                kill(child, signal)?;
            }
        }
    }

    /// All that has happened to children so far.
    fn reap(&mut self, child: Pid) -> anyhow::Result<Option<u8>> {
        let stops =
            self.foreground.as_ref().map_or(WaitPidFlag::empty(), |_| WaitPidFlag::WUNTRACED);
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | stops)) {
                Ok(WaitStatus::StillAlive) => return Ok(None),
                Ok(WaitStatus::Stopped(pid, _)) if pid == child => {
                    if let Some(foreground) = &mut self.foreground {
                        foreground.stop(child)?;
                    }
                }
                Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(Some(code as u8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                    return Ok(Some(128 + signal as u8));
                }
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// The exit code of the root task as ours.
pub fn as_ours(code: u8) -> anyhow::Result<()> {
    if code == 0 { Ok(()) } else { Err(floe_toolkit::Exit(code).into()) }
}
