//! `--join`: into which namespaces the tree belongs. Restore goes there itself before anything is opened, so that sockets are
//! made there and every process is born there.

use anyhow::{Context, Result};
use floe_records::NsKind;
use nix::sched::{CloneFlags, setns};
use std::{fs::File, path::PathBuf, str::FromStr};

/// Kinds that can be entered, each with its flag, in the order in which they are: the rights in the others come with the user
/// namespace, and paths lead elsewhere behind the mount namespace.
const KINDS: [(NsKind, CloneFlags); 7] = [
    (NsKind::User, CloneFlags::CLONE_NEWUSER),
    (NsKind::Cgroup, CloneFlags::CLONE_NEWCGROUP),
    (NsKind::Ipc, CloneFlags::CLONE_NEWIPC),
    (NsKind::Uts, CloneFlags::CLONE_NEWUTS),
    (NsKind::Net, CloneFlags::CLONE_NEWNET),
    (NsKind::Mnt, CloneFlags::CLONE_NEWNS),
    (NsKind::Pid, CloneFlags::CLONE_NEWPID),
];

/// One `--join`.
#[derive(Clone, Debug)]
pub struct Join {
    /// Kind of the namespace.
    pub kind: NsKind,
    /// A file of it; `None` for the one that restore is in.
    path: Option<PathBuf>,
}

impl FromStr for Join {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').ok_or("it is not KIND=PATH")?;
        let known = KINDS.iter().find(|(kind, _)| kind.name() == name);
        let all: Vec<&str> = KINDS.iter().map(|(kind, _)| kind.name()).collect();
        let unknown = || format!("its kind must be one of {}", all.join(", "));
        let (kind, _) = known.ok_or_else(unknown)?;
        if place.is_empty() {
            return Err("its path is empty".into());
        }
        if *kind == NsKind::Pid && place != "here" {
            return Err("a process has the pid namespace that it was born in: pid=here".into());
        }
        Ok(Self { kind: *kind, path: (place != "here").then(|| place.into()) })
    }
}

/// Goes into all of them. The calling thread must be the only one.
pub fn enter(all: &[Join]) -> Result<()> {
    let mut open = Vec::new();
    for Join { kind, path } in all {
        if let Some(path) = path {
            let file = File::open(path);
            let fail =
                || format!("unable to open the {} namespace {}", kind.name(), path.display());
            open.push((kind, path, file.with_context(fail)?));
        }
    }
    for (kind, flag) in KINDS {
        for (_, path, file) in open.iter().filter(|(wanted, ..)| **wanted == kind) {
            let fail =
                || format!("unable to enter the {} namespace {}", kind.name(), path.display());
            setns(file, flag).with_context(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_places_are_read() {
        let read = |text: &str| text.parse::<Join>();
        assert!(read("net=here").is_ok_and(|join| join.kind == NsKind::Net && join.path.is_none()));
        assert!(read("mnt=/proc/1/ns/mnt").is_ok_and(|join| join.path.is_some()));
        for wrong in ["net", "net=", "pid=/proc/1/ns/pid", "time=/proc/1/ns/time", "=x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
