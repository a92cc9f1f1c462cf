//! A "no" before anything was touched: what, where, why, and what to do.

use crate::Pid;
use std::fmt;

/// One thing that cannot be captured or recreated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The process, where one is concerned.
    pub pid: Option<Pid>,
    /// Object: `fd 5 (socket:[123])`, `7f00-8000 /dev/kvm`, `pid namespace`.
    pub object: String,
    /// Why it cannot be had.
    pub problem: String,
    /// What the user can do.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "pid {pid}: ")?;
        }
        write!(f, "{}: {}", self.object, self.problem)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

/// Everything that stands in the way, all at once. Exit code 3.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, refusal) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}
