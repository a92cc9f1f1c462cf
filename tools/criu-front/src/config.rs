//! Configuration files: options that engines have no way to pass.

use std::{fs, path::PathBuf};

/// The files that are read before the request, those that are there.
pub fn before() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".criu/default.conf"));
    let named = std::env::var_os("CRIU_CONFIG_FILE").map(PathBuf::from);
    [Some(PathBuf::from("/etc/criu/default.conf")), home, named].into_iter().flatten().collect()
}

/// An option and its value.
pub type Line = (String, Option<String>);

/// The options of a file, none where it cannot be read: engines name files that need not be there.
pub fn read(path: &std::path::Path) -> Vec<Line> {
    fs::read(path).map(|bytes| lines(&String::from_utf8_lossy(&bytes))).unwrap_or_default()
}

fn lines(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

/// `option`, `option value` or `option=value`; behind # is a comment; double quotes keep blanks and #.
fn line(text: &str) -> Option<Line> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => (quoted, any) = (!quoted, true),
            '\\' if quoted && chars.peek() == Some(&'"') => word.extend(chars.next()),
            '#' if !quoted => break,
            c if !quoted && (c.is_whitespace() || (c == '=' && words.is_empty())) => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    let mut words = words.into_iter();
    let name = words.next()?;
    let name = name.trim_start_matches('-').to_owned();
    let value: Vec<String> = words.collect();
    Some((name, (!value.is_empty()).then(|| value.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_options_with_values() {
        let text = "# all\n\n  tcp-established   # keep\nlog-file=./a.log\nlog-file \"a b # c\"\n--tcp-close\nghost-limit 1M";
        let read = lines(text);
        let read: Vec<(&str, Option<&str>)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(
            read,
            [
                ("tcp-established", None),
                ("log-file", Some("./a.log")),
                ("log-file", Some("a b # c")),
                ("tcp-close", None),
                ("ghost-limit", Some("1M")),
            ]
        );
    }
}
