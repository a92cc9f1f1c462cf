//! The command line: `criu dump`, `criu restore` as LXC calls them.

use crate::{
    dump,
    job::{Job, Numbers},
    request::Wanted,
    restore,
};
use anyhow::{Context, Result};
use floe_toolkit::Usage;

/// What is said to people.
pub const HELP: &str = "\
What container engines start in the place of criu: floe behind its interface.

Usage: criu swrk FD
       criu dump -t PID -D DIR [OPTION ...]
       criu restore -D DIR [OPTION ...]
       criu check [--feature NAME]
       criu --version

doc/criu-front.md has the options.
";

/// Short options, with the long ones and whether they have a value.
const SHORT: [(char, &str, bool); 9] = [
    ('D', "images-dir", true),
    ('W', "work-dir", true),
    ('o', "log-file", true),
    ('t', "tree", true),
    ('R', "leave-running", false),
    ('s', "leave-stopped", false),
    ('j', "shell-job", false),
    ('d', "restore-detached", false),
    ('S', "restore-sibling", false),
];

/// Long options whose value may be the next word.
const VALUED: [&str; 31] = [
    "on-change",
    "images-dir",
    "work-dir",
    "log-file",
    "tree",
    "root",
    "prev-images-dir",
    "pidfile",
    "timeout",
    "action-script",
    "external",
    "join-ns",
    "empty-ns",
    "ext-mount-map",
    "inherit-fd",
    "cgroup-root",
    "freeze-cgroup",
    "lsm-profile",
    "lsm-mount-context",
    "ghost-limit",
    "enable-fs",
    "skip-mnt",
    "veth-pair",
    "network-lock",
    "irmap-scan-path",
    "cpu-cap",
    "cgroup-props",
    "cgroup-props-file",
    "cgroup-dump-controller",
    "cgroup-yard",
    "pre-dump-mode",
];

/// Does what a command line says.
pub fn run(action: &str, words: &[&str]) -> Result<()> {
    let mut wanted = Wanted { sibling: false, ..Wanted::configured()? };
    for (name, value) in options(words)? {
        wanted.set(&name, value.as_deref()).map_err(|e| Usage(format!("--{name}: {e:#}")))?;
    }
    if wanted.images_dir.is_none() {
        wanted.images_dir = Some(".".into());
    }
    let job = Job::new(wanted, None, &Numbers::default(), &format!("{action}.log"))?;
    let done = job.allow().and_then(|()| match action {
        "dump" => dump::dump(&job),
        "pre-dump" => dump::pre_dump(&job),
        _ => restore::restore(&job).map(drop),
    });
    done.inspect_err(|error| {
        if !job.log.has_failed() {
            job.log.error(&format!("{error:#}"));
        }
    })
}

/// Words as options with their values.
fn options(words: &[&str]) -> Result<Vec<(String, Option<String>)>> {
    let mut all = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().map(|word| (*word).to_owned());
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if VALUED.contains(&long) => (long, next()),
                None => (long, None),
            };
            all.push((name.to_owned(), value));
            continue;
        }
        let short = word.strip_prefix('-').and_then(|rest| rest.chars().next());
        let short = short.with_context(|| format!("{word} is no option"));
        let short = short.map_err(|e| Usage(format!("{e:#}")))?;
        if short == 'v' {
            // How much it says: always all.
            continue;
        }
        let known = SHORT.iter().find(|(name, ..)| *name == short);
        let &(_, name, valued) = known.ok_or_else(|| Usage(format!("{word} is not known")))?;
        let rest = &word[2..];
        let value = match valued {
            true if rest.is_empty() => next(),
            true => Some(rest.to_owned()),
            false => None,
        };
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_lxc_are_options() {
        let words = "--tcp-established --manage-cgroups=full --ext-mount-map auto --enable-fs hugetlbfs -D /d -o dump.log -vvvv -t 5 -R";
        let words: Vec<&str> = words.split(' ').collect();
        let read = options(&words).unwrap();
        let read: Vec<(&str, Option<&str>)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(
            read,
            [
                ("tcp-established", None),
                ("manage-cgroups", Some("full")),
                ("ext-mount-map", Some("auto")),
                ("enable-fs", Some("hugetlbfs")),
                ("images-dir", Some("/d")),
                ("log-file", Some("dump.log")),
                ("tree", Some("5")),
                ("leave-running", None),
            ]
        );
        assert!(options(&["dump.log"]).is_err() && options(&["-x"]).is_err());
    }
}
