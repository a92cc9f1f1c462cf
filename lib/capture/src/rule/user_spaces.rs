//! User namespaces of the tree's own: how they lie in each other, and whether everybody in them has a name there.

use crate::{
    Result, namespace, origin,
    rule::{spaces::owner, user_variables},
    subject::{Process, unless_gone},
};
use floe_records::{Finding, Findings, IdMaps, NsKind, Pid};
use std::collections::{BTreeMap, btree_map::Entry};

const RULE: &str = "namespace.user";

/// Those that processes were found in.
#[derive(Default)]
pub(crate) struct UserSpaces {
    /// By number: what ids are called there, and which one it lies in.
    all: BTreeMap<u64, (IdMaps, Option<u64>)>,
    /// That of each process, and its parent.
    members: BTreeMap<u32, (u64, u32)>,
}

impl UserSpaces {
    /// That of a process.
    pub fn add(&mut self, process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let Some(own) = process.namespace("user") else { return Ok(()) };
        self.members.insert(process.pid, (own, process.stat.ppid));
        if Some(own) == origin::namespace(NsKind::User)? {
            return Ok(());
        }
        if !self.all.contains_key(&own) {
            self.learn(process.pid, own)?;
        }
        let maps = &self.all[&own].0;
        for thread in &process.tasks {
            let status = &thread.status;
            let (uids, gids) = (status.ids("Uid")?, status.ids("Gid")?);
            if let Some(id) = maps.nameless(&uids, &gids, &status.numbers("Groups")?) {
                let problem =
                    format!("user or group {id} of thread {} has no name in it", thread.tid);
                out.refuse(Finding::of(Pid(process.pid), "user namespace", RULE, problem));
            }
        }
        Ok(())
    }

    /// Reads of one, and of those around it.
    fn learn(&mut self, pid: u32, own: u64) -> Result<()> {
        let maps = namespace::user::maps(Pid(pid))?;
        let above = namespace::user::above(Pid(pid))?;
        let ours = origin::namespace(NsKind::User)?.filter(|_| above.is_some());
        let above = above.unwrap_or_default();
        let around = |at: usize| above.get(at).map(|(id, _)| id.0).or(ours);
        self.all.insert(own, (maps, around(0)));
        for (at, (id, space)) in above.iter().enumerate() {
            if let Entry::Vacant(place) = self.all.entry(id.0) {
                let maps = namespace::user::maps_within(space)?;
                place.insert((maps, around(at + 1)));
            }
        }
        Ok(())
    }

    /// Looks into each of them by way of one of its members. Only while we have no other thread: before the stop.
    pub fn look_into(&self, out: &mut Findings) -> Result<()> {
        let ours = origin::namespace(NsKind::User)?;
        let members: BTreeMap<u64, u32> =
            self.members.iter().map(|(pid, (own, _))| (*own, *pid)).collect();
        for (_, pid) in members.iter().filter(|(own, _)| Some(**own) != ours) {
            match user_variables::check(*pid, out) {
                Err(_) if floe_proc::is_dead(*pid)? => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Looks at how they lie in each other.
    pub fn check(&self, out: &mut Findings) -> Result<()> {
        let ours = origin::namespace(NsKind::User)?;
        for (pid, (own, ppid)) in &self.members {
            let mut refuse = |problem: &str, hint: &str| {
                let finding = Finding::of(Pid(*pid), "user namespace", RULE, problem);
                out.refuse(finding.hint(hint));
            };
            if Some(*own) != ours && !ours.is_some_and(|ours| self.lies_in(*own, ours)) {
                refuse("it does not lie in that of freeze", "run freeze in the one around it");
            } else if let Some((above, _)) = self.members.get(ppid)
                && Some(*above) != ours
                && !self.lies_in(*own, *above)
            {
                refuse("it does not lie in that of its parent", "");
            }
        }
        Ok(())
    }

    /// Why a namespace of a process cannot be entered where its parent is, if that is in another one.
    pub fn beyond(&self, pid: u32, kind: NsKind) -> Result<Option<&'static str>> {
        let Some((own, ppid)) = self.members.get(&pid) else { return Ok(None) };
        let Some((above, _)) = self.members.get(ppid) else { return Ok(None) };
        let same = |pid| unless_gone(floe_proc::namespace(pid, kind.name()));
        if Some(*above) == origin::namespace(NsKind::User)? || same(pid)? == same(*ppid)? {
            return Ok(None);
        }
        let owner = owner(pid, kind.name())?;
        let has_rights = owner == Some(*own) || owner == Some(*above);
        Ok((!has_rights).then_some("it belongs to a user namespace that its parent is not in"))
    }

    /// Whether the user namespace that owns the pid namespace of an init lies between those of the init and of its parent.
    pub fn is_between(&self, init: u32, parent: u32) -> Result<bool> {
        let Some(owner) = owner(init, NsKind::Pid.name())? else { return Ok(true) };
        let of = |pid| self.members.get(&pid).map(|(user, _)| *user);
        let below = of(init).is_none_or(|user| self.lies_in(user, owner));
        Ok(below && of(parent).is_none_or(|user| self.lies_in(owner, user)))
    }

    /// Whether a process has rights over the pid namespace of an init.
    pub fn has_rights(&self, pid: u32, init: u32) -> Result<bool> {
        let owner = owner(init, NsKind::Pid.name())?;
        let user = self.members.get(&pid).map(|(user, _)| *user);
        Ok(owner.zip(user).is_none_or(|(owner, user)| self.lies_in(owner, user)))
    }

    /// Whether one is another one, or lies in it.
    fn lies_in(&self, mut one: u64, other: u64) -> bool {
        for _ in 0..=self.all.len() {
            if one == other {
                return true;
            }
            let Some((_, Some(parent))) = self.all.get(&one) else { return false };
            one = *parent;
        }
        false
    }
}
