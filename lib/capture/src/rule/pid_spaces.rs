//! Pid namespaces below that of the root: each must have its init in the tree, and belong to a user namespace that a restore can make it
//! in.

use crate::{
    Result,
    namespace::{pid_names, space::number},
    rule::user_spaces::UserSpaces,
    subject::Process,
};
use floe_proc::Status;
use floe_records::{Finding, Findings, NsId, Pid};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
};

const RULE: &str = "namespace";
/// The init of a pid namespace, inside of it.
const INIT: u32 = 1;

/// Those that processes were found in.
#[derive(Default)]
pub(crate) struct PidSpaces {
    /// That of each process, with its parent.
    members: BTreeMap<u32, (NsId, u32)>,
    /// Inits, by their namespaces, each with the wait status of one that has ended.
    inits: BTreeMap<NsId, (u32, Option<u32>)>,
    /// Those that processes have made, or entered, for their children.
    for_children: Vec<(u32, NsId)>,
}

impl PidSpaces {
    /// That of a process, and those of its children that have ended.
    pub fn add(&mut self, process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let Some(own) = process.namespace("pid").map(NsId) else { return Ok(()) };
        self.note((process.pid, own), process.stat.ppid, (&process.status, None))?;
        for (pid, stat) in process.children.iter().filter(|(_, stat)| stat.is_dead()) {
            let read =
                pid_names::open(Pid(*pid)).and_then(|(space, _)| Ok((space, Status::of(*pid)?)));
            match read {
                Ok((space, status)) => {
                    let ended = Some(stat.exit_code as u32);
                    self.note((*pid, space), process.pid, (&status, ended))?;
                }
                // It was waited for meanwhile.
                Err(_) if !floe_proc::path(*pid, "stat").exists() => {}
                Err(error) => return Err(error),
            }
        }
        let other = process.namespace("pid_for_children").map(NsId).filter(|id| *id != own);
        if let Some(other) = other {
            self.for_children.push((process.pid, other));
            if process.tasks.len() > 1 {
                let problem =
                    "it is not that of the process, and which threads have it is not known";
                out.refuse(for_children(process.pid, problem));
            }
        }
        Ok(())
    }

    /// Those that lie below that of the root, and have an init in the tree.
    pub fn below(&self) -> BTreeSet<NsId> {
        self.inits.keys().copied().collect()
    }

    fn note(
        &mut self,
        (pid, space): (u32, NsId),
        parent: u32,
        (status, ended): (&Status, Option<u32>),
    ) -> Result<()> {
        self.members.insert(pid, (space, parent));
        let names = status.numbers("NSpid")?;
        if names.len() > 1 && names.last() == Some(&INIT) {
            self.inits.insert(space, (pid, ended));
        }
        Ok(())
    }

    /// Looks at those below that of `root`.
    pub fn check(&self, root: u32, users: &UserSpaces, out: &mut Findings) -> Result<()> {
        let Some((top, _)) = self.members.get(&root) else { return Ok(()) };
        let mut told = BTreeSet::new();
        for (&pid, &(space, _)) in self.members.iter().filter(|(_, (space, _))| space != top) {
            let problem = match self.inits.get(&space) {
                _ if !told.insert(space) => None,
                None => Some("its init is not in the tree"),
                Some(&(init, ended)) => self.is_apart(init, space, ended, users)?,
            };
            let problem = match problem {
                None => self.is_barred(pid, space, users)?,
                some => some,
            };
            if let Some(problem) = problem {
                out.refuse(Finding::of(Pid(pid), "pid namespace", RULE, problem));
            }
        }
        for &(pid, space) in &self.for_children {
            let problem = match self.inits.get(&space) {
                None => Some("its init has ended, or is not in the tree"),
                Some((init, _)) => {
                    let rights = users.has_rights(pid, *init)?;
                    (!rights).then_some("it belongs to a user namespace that the process is not in")
                }
            };
            out.refused.extend(problem.map(|problem| for_children(pid, problem)));
        }
        Ok(())
    }

    /// Why a namespace cannot be made again with this init.
    fn is_apart(
        &self,
        init: u32,
        id: NsId,
        ended: Option<u32>,
        users: &UserSpaces,
    ) -> Result<Option<&'static str>> {
        let by_signal = |status: u32| ![0, libc::SIGKILL as u32].contains(&(status & 0x7f));
        if ended.is_some_and(by_signal) {
            return Ok(Some("its init was ended by a signal that no init is ended by again"));
        }
        let (_, space) = match pid_names::open(Pid(init)) {
            Ok(space) => space,
            Err(_) if !floe_proc::path(init, "stat").exists() => return Ok(None),
            Err(error) => return Err(error),
        };
        let around = floe_sys::namespace_parent(space.as_fd()).ok().and_then(number);
        let parent = self.members.get(&init).map_or(0, |(_, parent)| *parent);
        let parents = self.members.get(&parent);
        if parents.is_some_and(|(space, _)| Some(*space) != around && *space != id) {
            return Ok(Some("the parent of its init is not in the one around it"));
        }
        let between = parents.is_none() || users.is_between(init, parent)?;
        Ok((!between).then_some("it belongs to no user namespace between that of the parent of its init and that of its init"))
    }

    /// Why a process cannot be made in its namespace by its parent.
    fn is_barred(&self, pid: u32, space: NsId, users: &UserSpaces) -> Result<Option<&'static str>> {
        let parent = self.members.get(&pid).map_or(0, |(_, parent)| *parent);
        let Some((theirs, _)) = self.members.get(&parent) else { return Ok(None) };
        let Some((init, _)) = self.inits.get(&space).filter(|(init, _)| *init != pid) else {
            return Ok(None);
        };
        let barred = *theirs != space && !users.has_rights(parent, *init)?;
        Ok(barred
            .then_some("it belongs to a user namespace that the parent of the process is not in"))
    }
}

fn for_children(pid: u32, problem: &str) -> Finding {
    Finding::of(Pid(pid), "pid_for_children namespace", RULE, problem)
}
