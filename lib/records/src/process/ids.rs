//! A process of the tree: its ids and relations.

use crate::{Pid, Resource, SIGNALS, Shares, Tid, ensure};
use serde::{Deserialize, Serialize};

/// What a process was doing when it was stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum State {
    /// Running or sleeping.
    Alive,
    /// Stopped by job control with this signal.
    Stopped(u32),
    /// Dead and not yet waited for; the status as wait(2) gives it.
    Zombie(u32),
}

/// A process (thread group). Parents come before their children.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Thread group id.
    pub pid: Pid,
    /// Parent; outside the tree for the root.
    pub ppid: Pid,
    /// The thread of its parent whose child it is: that one has made it, or has it from a thread that has ended. Its end is
    /// that of a parent (PR_SET_PDEATHSIG), and it alone waits for it with `__WNOTHREAD`. The parent itself for the root.
    pub maker: Tid,
    /// What it has in common with processes of the tree.
    pub shares: Shares,
    /// Process group; its leader may be outside the tree or gone.
    pub pgid: Pid,
    /// Session; its leader may be outside the tree or gone.
    pub sid: Pid,
    /// Clock ticks since boot (/proc/PID/stat field 22): tells a reused pid.
    pub start_time: u64,
    /// What it was doing.
    pub state: State,
    /// Signal that the parent gets at death, 0 to 64.
    pub exit_signal: u32,
    /// Controlling terminal as /proc/PID/stat gives it, 0 for none.
    pub tty_nr: i32,
    /// Foreground process group of that terminal, -1 for none.
    pub tty_pgrp: i32,
}

impl Process {
    /// Whether it is a zombie.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Zombie(_))
    }
}

impl Resource for Process {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.exit_signal <= SIGNALS, "it ends with a signal that there is not")?;
        match self.state {
            State::Stopped(signal) => ensure(
                (1..=SIGNALS).contains(&signal),
                "it was stopped by a signal that there is not",
            ),
            State::Zombie(status) => ensure(status <= 0xffff, "its status is none of wait(2)"),
            State::Alive => Ok(()),
        }
    }
}
