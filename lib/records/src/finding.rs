//! What stands in the way of a checkpoint or a restore, and what a tree loses: what, where, why, what to do.

use crate::Pid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that cannot be captured or recreated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The process, where one is concerned.
    pub pid: Option<Pid>,
    /// Object: `fd 5 (socket:[123])`, `7f00-8000 /dev/kvm`, `pid namespace`.
    pub object: String,
    /// A short name of the rule that found it, the same in every version: `seccomp`, `file.unix`.
    pub rule: String,
    /// Why it cannot be had.
    pub problem: String,
    /// What the user can do.
    pub hint: String,
}

/// A "no" before anything is touched.
pub type Refusal = Finding;

impl Finding {
    /// About a process.
    pub fn of(pid: Pid, object: impl Into<String>, rule: &str, problem: impl Into<String>) -> Self {
        Self { pid: Some(pid), ..Self::about(object, rule, problem) }
    }

    /// About something that no single process has.
    pub fn about(object: impl Into<String>, rule: &str, problem: impl Into<String>) -> Self {
        let (object, problem) = (object.into(), problem.into());
        Self { pid: None, object, rule: rule.into(), problem, hint: String::new() }
    }

    /// With what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Finding {
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

/// What a look has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// What cannot be had: nothing is done.
    pub refused: Vec<Finding>,
    /// What comes back without this.
    pub lost: Vec<Finding>,
    /// What belongs to the world outside of the tree: restore must be given something in its place.
    pub outside: Vec<Finding>,
}

impl Findings {
    /// Notes a refusal.
    pub fn refuse(&mut self, finding: Finding) {
        self.refused.push(finding);
    }

    /// Notes a loss.
    pub fn lose(&mut self, finding: Finding) {
        self.lost.push(finding);
    }

    /// The refusals as an error, where there are any.
    pub fn refusals(&mut self) -> Result<(), Refusals> {
        let refused = std::mem::take(&mut self.refused);
        if refused.is_empty() { Ok(()) } else { Err(Refusals(refused)) }
    }
}
