//! Pid namespaces below that of the root: each has an init, and everybody a number in all that he is in.

use super::Found;
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

const RULE: &str = "plan.pids";
/// Of the signals, only this one ends an init.
const SIGKILL: u32 = 9;

pub(super) fn check(tree: &Tree, found: &mut Found) {
    let mut spaces = Spaces { tree, found, around: BTreeMap::new() };
    for p in tree.all::<Process>() {
        spaces.process(p);
    }
    for all in tree.all::<Namespaces>() {
        spaces.of_children(all);
    }
    for names in tree.all::<PidNames>() {
        spaces.names(names);
    }
    for owner in tree.all::<Owner>().iter().filter(|owner| tree.has_task(owner.id)) {
        spaces.owner(owner);
    }
    for pty in tree.all::<Pty>() {
        let Some((session, group)) = pty.session else { continue };
        if tree.get::<Process>(session).is_some() && tree.seen_by(session, group.0).is_none() {
            let problem = "the leader of the session has no number for the foreground";
            let object = format!("pseudo terminal {}", pty.id.ino);
            spaces.found.add(|| Finding::of(session, object, RULE, problem));
        }
    }
}

struct Spaces<'a> {
    tree: &'a Tree,
    found: &'a mut Found,
    /// Each with those around it, outwards, without that of the root.
    around: BTreeMap<NsId, Option<Vec<NsId>>>,
}

impl Spaces<'_> {
    fn refuse(&mut self, pid: Pid, problem: &str) {
        self.found.add(|| Finding::of(pid, "pid namespace", RULE, problem));
    }

    fn around(&mut self, id: NsId) -> Option<&[NsId]> {
        let tree = self.tree;
        self.around.entry(id).or_insert_with(|| tree.pid_spaces_from(id)).as_deref()
    }

    /// Whether one lies in another one, or is the same.
    fn lies_in(&mut self, id: NsId, other: NsId) -> bool {
        other == self.tree.root_pids()
            || self.around(id).is_some_and(|around| around.contains(&other))
    }

    fn process(&mut self, p: &Process) {
        let tree = self.tree;
        let space = tree.pid_space(p.pid);
        let Some(around) = self.around(space).map(<[_]>::to_vec) else {
            return self.refuse(p.pid, "it does not lie in that of the root");
        };
        let threads = tree.threads(p.pid).map(|thread| thread.tid.0);
        for tid in threads.chain([p.pid.0]).collect::<BTreeSet<u32>>() {
            if around.iter().any(|space| tree.name_in(*space, tid).is_none()) {
                self.refuse(p.pid, &format!("{tid} has no number in it"));
            }
        }
        if space == tree.root_pids() {
            return;
        }
        let Some(init) = tree.init_of(space) else {
            return self.refuse(p.pid, "it has no init");
        };
        let parent = tree.pid_space(p.ppid);
        if init != p.pid {
            if tree.get::<Process>(init).is_some_and(|init| init.has_ended()) {
                self.refuse(p.pid, "its init has ended");
            }
            if !self.lies_in(space, parent) {
                self.refuse(p.pid, "it does not lie in that of its parent");
            } else if space != parent && !self.has_rights(p.ppid, space) {
                self.refuse(p.pid, "its parent has no rights over it");
            }
            return;
        }
        // Only a process in the one around it can make it.
        if around.get(1).copied().unwrap_or_else(|| tree.root_pids()) != parent {
            self.refuse(p.pid, "its init is no child of a process in the one around it");
        }
        let by_signal = |status: u32| ![0, SIGKILL].contains(&(status & 0x7f));
        if matches!(p.state, State::Zombie(status) if by_signal(status)) {
            self.refuse(p.pid, "its init was ended by a signal that ends no init");
        }
        self.makes(p, space);
    }

    /// It belongs to a user namespace between that of its parent and its own.
    fn makes(&mut self, init: &Process, space: NsId) {
        let tree = self.tree;
        let Some(owner) = tree.get::<Namespace>(space).and_then(|space| space.owner) else {
            return;
        };
        let user = |pid| tree.get::<Namespaces>(pid).map(|all| all.user);
        let above = user(init.ppid).is_none_or(|user| tree.user_lies_in(owner, user));
        let below = user(init.pid).is_none_or(|user| tree.user_lies_in(user, owner));
        if !above || !below {
            let problem = "it belongs to no user namespace between that of the parent of its init and that of its init";
            self.refuse(init.pid, problem);
        }
    }

    /// Who enters it, or has a child there, has rights over it.
    fn has_rights(&self, pid: Pid, space: NsId) -> bool {
        let owner = self.tree.get::<Namespace>(space).and_then(|space| space.owner);
        let user = self.tree.get::<Namespaces>(pid).map(|all| all.user);
        owner.zip(user).is_none_or(|(owner, user)| self.tree.user_lies_in(owner, user))
    }

    fn of_children(&mut self, all: &Namespaces) {
        let children = all.pid_for_children;
        if all.awaits_init() || children == all.pid_ns {
            return;
        }
        let problem = if !self.lies_in(children, all.pid_ns) {
            "that of its children does not lie in its own"
        } else if self.tree.init_of(children).is_none() {
            "that of its children has no init"
        } else if !self.has_rights(all.pid, children) {
            "it has no rights over that of its children"
        } else if self.tree.threads(all.pid).nth(1).is_some() {
            "that of its children is not its own, and it has threads"
        } else {
            return;
        };
        self.refuse(all.pid, problem);
    }

    /// What has a number is there.
    fn names(&mut self, names: &PidNames) {
        let tree = self.tree;
        let sessions: BTreeSet<u32> = tree.all::<Process>().iter().map(|p| p.sid.0).collect();
        for (id, name) in &names.names {
            let pid = tree.process_of(Tid(*id));
            let is_task = tree.get::<Process>(pid).is_some();
            let known = is_task || tree.has_task(*id) || sessions.contains(id);
            let right = !is_task || self.lies_in(tree.pid_space(pid), names.id);
            if !known || !right {
                let object = format!("pid namespace {}", names.id);
                let problem = format!("it has a number for {id}, which is not in it");
                self.found.add(|| Finding::about(object, RULE, problem));
            } else if *name == 1 && tree.pid_space(Pid(*id)) != names.id {
                self.refuse(pid, "it is the init of a pid namespace that it is not in");
            }
        }
    }

    /// An owner is named by a process that has the file.
    fn owner(&mut self, owner: &Owner) {
        let tree = self.tree;
        let Some((pid, fd)) = tree.holder(owner.file) else { return };
        if tree.seen_by(pid, owner.id).is_none() {
            let problem = "its owner has no number in the pid namespace of the process";
            self.found.add(|| Finding::of(pid, format!("fd {fd}"), RULE, problem));
        }
    }
}
