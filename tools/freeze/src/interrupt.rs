//! SIGINT, SIGTERM and SIGHUP: best not in the midst of a question to the target, but never without an end.

use anyhow::{Context, Result};
use nix::{
    sys::signal::{SigSet, Signal, kill},
    unistd::Pid,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

/// The signals that ask us to end.
pub const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How long the work may go on after a signal until it looks for one. Longer means that it waits for what may never come (a
/// thread in an uninterruptible wait, a reader that does not read), and then the kernel gives the tree back.
const GRACE: Duration = Duration::from_secs(3);

/// What the watcher does with a signal, besides noting it.
const NOTE: i32 = 0;
const END: i32 = -1;

/// A thread that waits for [`SIGNALS`].
pub struct Interrupt {
    /// [`NOTE`], [`END`], or the pid of COMMAND.
    then: Arc<AtomicI32>,
    caught: Arc<AtomicI32>,
}

impl Interrupt {
    /// Blocks the signals in this thread and those it starts, and watches for them. Those that were ignored when we were
    /// started stay ignored.
    pub fn watch() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in SIGNALS {
            if !floe_sys::is_ignored(signal as i32)? {
                set.add(signal);
            }
        }
        set.thread_block().context("unable to block signals")?;
        let this = Self { then: Arc::default(), caught: Arc::default() };
        let (then, caught) = (this.then.clone(), this.caught.clone());
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while let Ok(signal) = set.wait() {
                    caught.store(signal as i32, Ordering::SeqCst);
                    act(then.load(Ordering::SeqCst), signal as i32);
                    end_after_grace(signal as i32);
                }
            })
            .context("unable to start a thread")?;
        Ok(this)
    }

    /// The signal that has come.
    pub fn caught(&self) -> Option<u8> {
        match self.caught.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal as u8),
        }
    }

    /// From now on a signal ends COMMAND with all that it has started.
    pub fn kill_on_signal(&self, command: u32) {
        self.set(command as i32);
    }

    /// From now on a signal ends us.
    pub fn end_process(&self) {
        self.set(END);
    }

    fn set(&self, then: i32) {
        self.then.store(then, Ordering::SeqCst);
        // One that came just before has not been acted on.
        if let Some(signal) = self.caught() {
            act(then, i32::from(signal));
        }
    }
}

/// Ends us when the work has not done so itself. The target is as it was found, or its threads are on the way back that lies
/// ready for them (`lib/tracee/src/trampoline.rs`).
fn end_after_grace(signal: i32) {
    // Where no thread can be started, there is no grace.
    let wait = move || {
        std::thread::sleep(GRACE);
        std::process::exit(128 + signal)
    };
    if std::thread::Builder::new().spawn(wait).is_err() {
        std::process::exit(128 + signal);
    }
}

fn act(then: i32, signal: i32) {
    match then {
        NOTE => {}
        END => std::process::exit(128 + signal),
        command => end(command as u32),
    }
}

/// Ends COMMAND and all that it has started: a stage that goes on would work on a target that runs. They may clean up;
/// COMMAND itself may not decide that it has succeeded.
pub fn end(command: u32) {
    // Where the tree cannot be read, COMMAND itself is ended.
    let all = floe_capture::look::tree(command).unwrap_or_else(|_| vec![command]);
    let send = |pid: &u32, signal| kill(Pid::from_raw(*pid as i32), signal);
    // They may have ended by themselves.
    let _ = send(&command, Signal::SIGSTOP);
    for pid in &all[1..] {
        let _ = send(pid, Signal::SIGTERM);
    }
    let _ = send(&command, Signal::SIGKILL);
}
