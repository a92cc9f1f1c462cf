//! Options of the whole: given once, to `freeze`, and obeyed by every later stage. An option of a stage itself
//! overrides it there.

use crate::{CgroupMode, OnChange, PathPattern, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Options of the whole checkpoint and restore.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Capture established TCP connections as closed ones.
    pub close_tcp: bool,
    /// A loss is a refusal.
    pub strict: bool,
    /// What takes the place of a file that belongs to the world outside of the tree.
    pub outside: Outside,
    /// What restore does with files that have changed; of several rules for a file the last one counts.
    pub on_change: Vec<OnChange>,
    /// Into which cgroups the tree comes back.
    pub cgroup: CgroupMode,
    /// CLOCK_MONOTONIC and CLOCK_BOOTTIME of the tree go on where they were, in a time namespace.
    pub timens: bool,
}

/// What takes the place of an outside file that nothing of restore's own stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Outside {
    /// Nothing: restore refuses until it is told (`--inherit`).
    #[default]
    Refuse,
    /// /dev/null.
    Null,
    /// A pipe or socket whose other end is closed: end of file for a reader, EPIPE for a writer.
    Broken,
    /// In the place of a UNIX socket a new connection to the address of its peer; otherwise nothing.
    Reconnect,
}

impl Resource for Options {
    type Key = ();
    fn key(&self) {}

    fn check(&self) -> Result<(), String> {
        ensure(self.on_change.len() <= OnChange::MOST, "it has too many rules for changed files")?;
        let short = |rule: &OnChange| rule.pattern.0.0.len() <= PathPattern::LONGEST;
        ensure(self.on_change.iter().all(short), "a pattern in it is too long")?;
        self.cgroup.check()
    }
}
