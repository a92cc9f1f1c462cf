//! What becomes of files that have changed between checkpoint and restore, by patterns of their paths.

use crate::Bytes;
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
}

/// A rule: what to do, and with which files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChange {
    /// What restore does.
    pub change: Change,
    /// Whole paths as the process sees them. `?` stands for a byte and `*` for any number of them, but for `/`; `**` stands for
    /// any bytes. Nothing quotes these.
    pub pattern: Bytes,
}

impl OnChange {
    /// Most rules.
    pub const MOST: usize = 64;
    /// Longest pattern, bytes.
    pub const LONGEST: usize = 1024;

    /// Whether a path is meant. Takes time in proportion to path times pattern, whatever they are.
    pub fn matches(&self, path: &[u8]) -> bool {
        let pattern = &self.pattern.0;
        // Which beginnings of the path the pattern read so far can be: bit n is its first n bytes.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        let mut at = 0;
        while let Some(byte) = pattern.get(at) {
            let double = *byte == b'*' && pattern.get(at + 1) == Some(&b'*');
            match byte {
                b'*' => {
                    for n in 1..reached.len() {
                        reached[n] |= reached[n - 1] && (double || path[n - 1] != b'/');
                    }
                }
                byte => {
                    for n in (1..reached.len()).rev() {
                        let same = path[n - 1] == *byte || (*byte == b'?' && path[n - 1] != b'/');
                        reached[n] = reached[n - 1] && same;
                    }
                    reached[0] = false;
                }
            }
            at += if double { 2 } else { 1 };
        }
        reached.last() == Some(&true)
    }

    /// What the last rule for a path says.
    pub fn of(rules: &[Self], path: &[u8]) -> Option<Change> {
        rules.iter().rfind(|rule| rule.matches(path)).map(|rule| rule.change)
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
            _ => return Err("it begins with none of refuse, accept and append".into()),
        };
        if !pattern.starts_with(['/', '*']) {
            return Err("its pattern is not one of absolute paths".into());
        }
        if pattern.len() > Self::LONGEST {
            return Err(format!("its pattern is longer than {} bytes", Self::LONGEST));
        }
        Ok(Self { change, pattern: pattern.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        OnChange { change: Change::Accept, pattern: pattern.into() }.matches(path.as_bytes())
    }

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path) in [
            ("/**", "/"),
            ("/a", "/a"),
            ("/var/log/**", "/var/log/a/b.log"),
            ("/var/*/b", "/var/log/b"),
            ("/**/b", "/a/c/b"),
            ("**.log", "/a/b.log"),
            ("/a?c", "/abc"),
            ("/*a*b*", "/xaxxbx"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/a", "/ab"),
            ("/a", "/"),
            ("/var/*", "/var/log/b"),
            ("/a?c", "/a/c"),
            ("/**/b", "/b/c"),
            ("", "/a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

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
