//! What stands in the way of a checkpoint or a restore, and what a tree loses: what, where, why, what to do.

use crate::Pid;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

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

/// Places that are named of one cause.
const PLACES: usize = 8;

/// A line for each cause, with the places where it was found.
pub fn by_cause<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let mut causes: Vec<Vec<&Finding>> = Vec::new();
    let mut known = BTreeMap::new();
    for finding in findings {
        let Finding { rule, problem, hint, .. } = finding;
        let at = *known.entry((rule, problem, hint)).or_insert(causes.len());
        match causes.get_mut(at) {
            Some(places) => places.push(finding),
            None => causes.push(vec![finding]),
        }
    }
    causes.iter().map(|places| cause(places)).collect()
}

fn cause(places: &[&Finding]) -> String {
    let mut line = in_places(places);
    if let Some(Finding { problem, hint, .. }) = places.first() {
        line.push_str(&format!(": {problem}"));
        if !hint.is_empty() {
            line.push_str(&format!(" ({hint})"));
        }
    }
    line
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&by_cause(&self.0).join("\n"))
    }
}

/// Each process once, and an object again only where it is another one.
fn in_places(places: &[&Finding]) -> String {
    let mut named = Vec::with_capacity(PLACES);
    let mut before: Option<&Finding> = None;
    for place in places.iter().take(PLACES) {
        let new_pid = before.is_none_or(|before| before.pid != place.pid);
        let new_object = before.is_none_or(|before| before.object != place.object);
        before = Some(place);
        named.push(match place.pid.filter(|_| new_pid) {
            Some(pid) if new_object => format!("pid {pid}: {}", place.object),
            Some(pid) => format!("pid {pid}"),
            None => place.object.clone(),
        });
    }
    let named = named.join(", ");
    match places.len().saturating_sub(PLACES) {
        0 => named,
        more => format!("{named} and {more} more"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_with_all_its_places() {
        let of = |pid, object: &str, problem| Finding::of(Pid(pid), object, "rule", problem);
        let all = vec![
            of(1, "fd 3", "it is a toy").hint("buy another"),
            of(1, "fd 4", "it is a tool"),
            of(1, "fd 5", "it is a toy").hint("buy another"),
            of(2, "fd 5", "it is a toy").hint("buy another"),
            Finding::about("the disk", "rule", "it is full"),
        ];
        let lines = "pid 1: fd 3, fd 5, pid 2: it is a toy (buy another)\npid 1: fd 4: it is a tool\nthe disk: it is full";
        assert_eq!(Refusals(all.clone()).to_string(), lines);
        assert_eq!(Refusals(vec![all[0].clone()]).to_string(), all[0].to_string());
        let many = (1..=20).map(|pid| of(pid, "memory", "it is shared")).collect();
        let line = "pid 1: memory, pid 2, pid 3, pid 4, pid 5, pid 6, pid 7, pid 8 and 12 more: it is shared";
        assert_eq!(Refusals(many).to_string(), line);
    }
}
