//! `--join`: into which namespaces the tree belongs. Restore goes there itself before anything is opened, so that sockets are
//! made there and every process is born there.

use anyhow::{Context, Result};
use floe_rebuild::{Here, OwnUser, Veth};
use floe_records::{NsId, NsKind, Tree};
use nix::sched::{CloneFlags, setns};
use std::{fs::File, path::PathBuf, str::FromStr, sync::Arc};

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

/// What goes into namespaces that restore makes.
#[derive(clap::Args)]
pub struct NewSpaces {
    /// Make a new namespace of KIND (net, ipc, uts), and put nothing of what the tree's had into it. May be repeated.
    #[arg(long, value_name = "KIND", value_parser = NsKind::empty)]
    pub empty: Vec<NsKind>,
    /// Have sh(1) run COMMAND in the namespaces that restore has made, before anything else is.
    #[arg(long, value_name = "COMMAND")]
    fill: Option<String>,
    /// Make the other end of the interface NAME of the tree, which was outside of it, as OTHER in the network namespace of restore,
    /// and a port of BRIDGE there. May be repeated.
    #[arg(long, value_name = "NAME=OTHER[@BRIDGE]")]
    pub veth: Vec<Veth>,
}

impl NewSpaces {
    /// Makes namespaces for the tree, but for a pid namespace, which is for [`crate::pidns`] to make, and gives them. `told`: kinds of which the
    /// user has said another one.
    pub fn make(
        &mut self,
        new_pidns: &mut bool,
        tree: &Tree,
        told: &[NsKind],
        here: &Here,
    ) -> Result<(Vec<NsId>, Option<Arc<OwnUser>>)> {
        // What freeze was told counts as well.
        self.empty.extend(tree.options().empty);
        self.empty.retain(|kind| !told.contains(kind));
        let wanted = floe_rebuild::new_spaces(tree, told, &self.empty, here);
        *new_pidns |= wanted.iter().any(|space| space.kind == NsKind::Pid);
        let user = floe_rebuild::make_new(tree, &wanted)?.map(Arc::new);
        self.fill()?;
        Ok((wanted.into_iter().map(|space| space.id).collect(), user))
    }

    /// Somebody else puts something into them.
    fn fill(&self) -> Result<()> {
        let Some(command) = &self.fill else { return Ok(()) };
        let mut shell = std::process::Command::new("sh");
        // What we read is not for it.
        shell.args(["-c", command]).stdin(std::process::Stdio::null());
        let status = shell.status().context("unable to start sh for --fill")?;
        anyhow::ensure!(status.success(), "the command of --fill has failed: {status}");
        Ok(())
    }
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
