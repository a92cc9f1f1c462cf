//! What becomes of files that have changed between checkpoint and restore, by patterns of their paths.

use crate::PathPattern;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What restore does when a file is not as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// It refuses.
    Refuse,
    /// It takes the file as it is, another file of that name too.
    Accept,
    /// It takes the file where it only grew.
    Append,
    /// It puts the file of the image in its place, where the image has it.
    Carry,
}

/// A rule: what to do, and with which files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChange {
    /// What restore does.
    pub change: Change,
    /// Which files.
    pub pattern: PathPattern,
}

impl OnChange {
    /// Most rules.
    pub const MOST: usize = 64;

    /// What the last rule for a path says.
    pub fn of(rules: &[Self], path: &[u8]) -> Option<Change> {
        rules.iter().rfind(|rule| rule.pattern.matches(path)).map(|rule| rule.change)
    }
}

/// `WHAT` for all files, or `WHAT:PATTERN`.
impl FromStr for OnChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (change, pattern) = text.split_once(':').unwrap_or((text, "/**"));
        let change = match change {
            "refuse" => Change::Refuse,
            "accept" => Change::Accept,
            "append" => Change::Append,
            "carry" => Change::Carry,
            _ => return Err("it begins with none of refuse, accept, append and carry".into()),
        };
        Ok(Self { change, pattern: pattern.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_counts() {
        let rules = ["accept:/a/**", "refuse:/a/b", "append"].map(|rule| rule.parse().unwrap());
        assert_eq!(OnChange::of(&rules[..2], b"/a/c"), Some(Change::Accept));
        assert_eq!(OnChange::of(&rules[..2], b"/a/b"), Some(Change::Refuse));
        assert_eq!(OnChange::of(&rules, b"/x"), Some(Change::Append));
        assert_eq!(OnChange::of(&rules[..2], b"/x"), None);
    }

    #[test]
    fn rules_are_read() {
        for wrong in ["", "accept:", "accept:a", "take:/a", "accept,/a"] {
            assert!(wrong.parse::<OnChange>().is_err(), "{wrong}");
        }
    }
}
