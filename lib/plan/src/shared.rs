//! What processes have in common: with what they are made, and who does what for all of them.

use crate::{Phase, Step, check::Found};
use floe_records::*;
use std::collections::BTreeMap;

/// How processes are made so that they share.
#[derive(Default)]
pub(crate) struct Shared {
    with_parent: BTreeMap<Pid, ShareSet>,
    through: BTreeMap<Pid, ShareSet>,
}

impl Shared {
    pub fn find(tree: &Tree, found: &mut Found) -> Self {
        let mut new = Self::default();
        for share in Share::ALL {
            let shares = |p: &Process| p.shares.of(share) != p.pid;
            if !tree.all::<Process>().iter().any(shares) {
                continue;
            }
            let sharer = |p: &Process| Sharer {
                pid: p.pid,
                parent: p.ppid,
                by_thread: p.maker.0 != p.ppid.0,
                owner: p.shares.of(share),
            };
            let all: Vec<Sharer> = tree.living().map(sharer).collect();
            match Links::find(share, &all) {
                Ok(links) => {
                    let put = |map: &mut BTreeMap<Pid, ShareSet>, pid| {
                        map.entry(pid).or_default().insert(share);
                    };
                    links.with_parent.iter().for_each(|pid| put(&mut new.with_parent, *pid));
                    links.through.iter().for_each(|pid| put(&mut new.through, *pid));
                }
                Err(bad) => {
                    for (pid, owner) in bad {
                        let problem =
                            format!("it cannot be made so that it shares it with {owner}");
                        found.add(|| Finding::of(pid, share.name(), "plan.shares", problem));
                    }
                }
            }
        }
        new
    }

    /// What a process has in common with its parent when it is made.
    pub fn with_parent(&self, pid: Pid) -> ShareSet {
        self.with_parent.get(&pid).copied().unwrap_or_default()
    }

    /// Steps by which processes leave what they have only passed on.
    pub fn leave(&self, steps: &mut Vec<Step>) {
        steps.extend(self.through.iter().map(|(pid, shares)| Step::Unshare(*pid, *shares)));
    }
}

/// Whether a process does it itself: what it shares is set by the one that it has it from.
pub(crate) fn does(tree: &Tree, pid: Pid, kind: Kind, phase: Phase) -> bool {
    let share = match (kind, phase) {
        (Kind::Vmas | Kind::Mm | Kind::Aio, _) => Share::Memory,
        (Kind::Fs, _) => Share::Directories,
        (Kind::ProcessSignals, Phase::Settings | Phase::Last) => Share::Actions,
        _ => return true,
    };
    tree.owner(pid, share) == pid
}

/// All living processes in the order of the stream; those that others have something from come last.
pub(crate) fn owners_last(tree: &Tree, share: Share) -> Vec<Pid> {
    let is_owner = |p: &&Process| !tree.sharers(share, p.pid).is_empty();
    let (owners, others): (Vec<&Process>, Vec<&Process>) = tree.living().partition(is_owner);
    others.into_iter().chain(owners).map(|p| p.pid).collect()
}
