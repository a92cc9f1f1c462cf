//! Options of the whole: given once, to `freeze`, and obeyed by every later stage. An option of a stage itself
//! overrides it there.

use crate::{CgroupMode, NsKind, OnChange, PathPattern, Resource, ensure};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

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
    /// Kinds of namespaces of the tree's own whose contents are no matter of the checkpoint: they come back empty.
    pub empty: Vec<NsKind>,
    /// What freeze refuses although it could be kept. No later stage has anything to do with it, so it does not travel.
    #[serde(skip)]
    pub deny: Vec<Deny>,
}

/// What a user may want no checkpoint of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deny {
    /// Established TCP connections.
    Connections,
    /// Sockets whose other end is outside of the tree.
    OutsideSockets,
    /// Terminals that are outside of the tree.
    OutsideTerminals,
}

impl Deny {
    /// All, with their names.
    pub const ALL: [(Self, &str); 3] = [
        (Self::Connections, "connections"),
        (Self::OutsideSockets, "outside-sockets"),
        (Self::OutsideTerminals, "outside-terminals"),
    ];
}

impl fmt::Display for Deny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(deny, _)| deny == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Deny {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        let all: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
        known.map(|(deny, _)| *deny).ok_or_else(|| format!("it is none of {}", all.join(", ")))
    }
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
        let empty = self.empty.iter().all(|kind| NsKind::EMPTY.contains(kind));
        ensure(empty && self.empty.len() <= 64, "a namespace of it cannot be empty")?;
        let short = |rule: &OnChange| rule.pattern.0.0.len() <= PathPattern::LONGEST;
        ensure(self.on_change.iter().all(short), "a pattern in it is too long")?;
        self.cgroup.check()
    }
}
