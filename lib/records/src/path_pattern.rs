//! Patterns of paths.

use crate::Bytes;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A pattern of whole paths as a process sees them. `?` stands for a byte and `*` for any number of them, but for `/`; `**` stands for
/// any bytes. Nothing quotes these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathPattern(pub Bytes);

impl PathPattern {
    /// Longest one, bytes.
    pub const LONGEST: usize = 1024;

    /// Whether a path is meant. Takes time in proportion to path times pattern, whatever they are.
    pub fn matches(&self, path: &[u8]) -> bool {
        let pattern = &self.0.0;
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
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        if !pattern.starts_with(['/', '*']) {
            return Err("its pattern is not one of absolute paths".into());
        }
        if pattern.len() > Self::LONGEST {
            return Err(format!("its pattern is longer than {} bytes", Self::LONGEST));
        }
        Ok(Self(pattern.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern(pattern.into()).matches(path.as_bytes())
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
}
