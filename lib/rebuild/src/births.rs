//! Making processes and threads, with their ids in all pid namespaces that they are in.
//!
//! A process in another pid namespace than that of its parent is made by a helper, a child of the parent as well, which becomes the
//! sibling of what it makes (CLONE_PARENT): who has once changed the namespace of its children can start no threads, and may not
//! be allowed to change it back. It also stands where the owner of a new namespace is to be.
//!
//! In a user namespace nobody may choose ids in pid namespaces that do not belong to it. There the next id is set from outside.

use crate::{
    machine::number,
    restore::{Restore, clone_flags},
    script::{Newborn, Script},
    states::take_pending,
};
use floe_parasite::Arg;
use floe_proc::Status;
use floe_records::*;
use floe_sys::{Error, Result};
use floe_tracee::Tracee;
use nix::sched::CloneFlags;
use std::{collections::BTreeSet, fs::File, os::fd::AsFd};

/// A process that makes another one.
#[derive(Clone, Copy)]
struct Helper {
    tid: Tid,
    /// What its parent calls it.
    called: u64,
}

/// How a process or thread is made.
struct Birth {
    newborn: Newborn,
    /// The thread whose child it becomes.
    parent: Tid,
    space: NsId,
    /// The user namespace of what makes it; `None` for that of restore.
    user: Option<NsId>,
    flags: u64,
    exit_signal: u64,
    /// The signal that its parent gets at its end.
    told: u32,
}

impl Restore<'_> {
    /// Whether a process is in another pid namespace than the thread that makes it.
    pub(crate) fn is_born_inside(&self, pid: Pid, by: Tid) -> bool {
        self.tree.pid_space(pid) != self.tree.pid_space(self.tree.process_of(by))
    }

    /// Makes such a process.
    pub(crate) fn bear(&mut self, pid: Pid, by: Tid, shares: ShareSet) -> Result<()> {
        let exit_signal = self.tree.get::<Process>(pid).map_or(0, |p| p.exit_signal);
        let helper = self.helper(by, (clone_flags(shares), exit_signal))?;
        let born = self.bear_by(helper.tid, pid, (by, exit_signal), shares);
        // Of two failures, the first tells what went wrong.
        born.and(self.dismiss(helper, by, exit_signal))
    }

    /// Starts a helper, where its maker is.
    fn helper(&mut self, by: Tid, (flags, exit_signal): (u64, u32)) -> Result<Helper> {
        let maker = self.tree.process_of(by);
        let around = self.tree.pid_spaces_from(self.tree.pid_space(maker)).unwrap_or_default();
        // In that of the root the kernel chooses, behind what the tree has.
        self.set_next(self.tree.root_pids(), spare(self.tree, self.tree.root_pids())?)?;
        let names = around.iter().map(|space| spare(self.tree, *space));
        let names = names.collect::<Result<Vec<u32>>>()?;
        let user = self.user_of(maker);
        let chosen = around.iter().take_while(|space| self.may_choose(**space, user)).count();
        for (space, name) in around.iter().zip(&names).skip(chosen) {
            self.set_next(*space, *name)?;
        }
        let mut script = Script::new(&self.stubs, by);
        script.label("start what makes a process in another pid namespace".to_owned());
        let called = script.clone_one(&names[..chosen], flags, u64::from(exit_signal))?;
        drop(script);
        let none = || Error::because("find what makes a process", "it is not there").pid(by.0);
        let tid = self.unknown_child(by, &[])?.ok_or_else(none)?;
        self.stubs.adopt(Newborn { tid: Tid(tid), is_process: true })?;
        Ok(Helper { tid: Tid(tid), called })
    }

    /// A child of a thread that nobody has come to know yet; `born` are known.
    fn unknown_child(&self, of: Tid, born: &[Newborn]) -> Result<Option<u32>> {
        Ok(self.unknown(floe_proc::children(self.tree.process_of(of).0, of.0)?, born))
    }

    /// One of these tasks that nobody has come to know yet.
    fn unknown(&self, tids: Vec<u32>, born: &[Newborn]) -> Option<u32> {
        let is_known = |tid: &u32| {
            self.stubs.tasks.contains_key(&(*tid as i32)) || born.iter().any(|it| it.tid.0 == *tid)
        };
        tids.into_iter().find(|tid| !is_known(tid))
    }

    fn bear_by(
        &mut self,
        helper: Tid,
        pid: Pid,
        (parent, told): (Tid, u32),
        shares: ShareSet,
    ) -> Result<()> {
        let space = self.tree.pid_space(pid);
        let is_init = self.tree.init_of(space) == Some(pid);
        let maker = self.tree.process_of(parent);
        let mut user = self.user_of(maker);
        let mut script = Script::new(&self.stubs, helper);
        script.label(format!("make {pid} in its pid namespace"));
        let mut flags = clone_flags(shares) | libc::CLONE_PARENT as u64;
        if is_init {
            flags |= libc::CLONE_NEWPID as u64;
            if let Some(owner) = self.owner_entered(pid) {
                self.enter_owner(pid, owner, &mut script)?;
                user = Some(owner);
            }
        } else {
            let number = self.files.hand_over_pids(space, user.is_some(), &mut script)?;
            let (number, kind) = (Arg::Val(number), Arg::Val(libc::CLONE_NEWPID as u64));
            script.call(libc::SYS_setns, [number, kind]);
            script.call(libc::SYS_close, [number]);
        }
        // It tells its parent of its end as the helper does.
        let newborn = Newborn { tid: Tid(pid.0), is_process: true };
        let birth = Birth { newborn, parent, space, user, flags, exit_signal: 0, told };
        let done = self.make(&birth, &mut script).and_then(|()| script.run().map(drop));
        let born = script.born();
        done.and(born.iter().try_for_each(|newborn| self.stubs.adopt(*newborn)))?;
        if is_init {
            let path = floe_proc::path(pid.0, "ns/pid");
            let fail = |e| Error::new(format!("open {}", path.display()), e);
            self.files.put_pids(space, File::open(&path).map_err(fail)?.as_fd())?;
        }
        Ok(())
    }

    /// Ends a helper, of which nothing stays.
    fn dismiss(&mut self, helper: Helper, by: Tid, told: u32) -> Result<()> {
        let Some(tracee) = self.stubs.end(Pid(helper.tid.0)) else { return Ok(()) };
        self.end(tracee, helper.called, (by, told))
    }

    /// Ends a child of a stub, which waits for it.
    fn end(&self, tracee: Tracee, called: u64, (parent, told): (Tid, u32)) -> Result<()> {
        tracee.kill()?;
        let mut script = Script::new(&self.stubs, parent);
        script.label("wait for what has made a process".to_owned());
        let all = Arg::Val(libc::__WALL as u64);
        script.call(libc::SYS_wait4, [Arg::Val(called), Arg::Val(0), all, Arg::Val(0)]);
        if told != 0 {
            take_pending(&mut script, 1 << (told - 1), 1);
        }
        script.run().map(drop)
    }

    /// The user namespace of a stub that has entered its own; `None` for that of restore.
    fn user_of(&self, pid: Pid) -> Option<NsId> {
        self.files.maps_of(pid).map(|maps| maps.id)
    }

    /// The user namespace that owns the pid namespace of an init, and that its parent is not in: the helper makes it there.
    pub(crate) fn owner_entered(&self, pid: Pid) -> Option<NsId> {
        let space = self.tree.pid_space(pid);
        let is_init = self.tree.init_of(space) == Some(pid);
        let owner = self.tree.get::<Namespace>(space).filter(|_| is_init)?.owner?;
        self.files.user_space(owner)?;
        let parent = self.tree.get::<Process>(pid)?.ppid;
        (self.user_of(parent) != Some(owner)).then_some(owner)
    }

    /// Has a helper enter all namespaces of an init, and as the last one that which owns its pid namespace.
    fn enter_owner(&self, pid: Pid, owner: NsId, script: &mut Script<'_>) -> Result<()> {
        let spaces = self.files.spaces(pid)?.into_iter();
        for it in spaces.filter(|(_, flag)| *flag != CloneFlags::CLONE_NEWUSER) {
            self.enter(pid, (None, None), it, script)?;
        }
        let outer = self.files.born(pid).and_then(|born| self.files.maps_of(born));
        let none = || Error::because("enter a user namespace", "it is not there");
        let number = self.files.user_space(owner).ok_or_else(none)?;
        let maps = self.tree.get::<IdMaps>(owner);
        self.enter(pid, (maps, outer), (number, CloneFlags::CLONE_NEWUSER), script)
    }

    /// Adds the making of a process or thread in the pid namespace of its maker.
    pub(crate) fn clone(
        &self,
        newborn: Newborn,
        by: Tid,
        (flags, exit_signal): (u64, u64),
        script: &mut Script<'_>,
    ) -> Result<()> {
        let maker = self.tree.process_of(by);
        let (space, user) = (self.tree.pid_space(maker), self.user_of(maker));
        let told = exit_signal as u32;
        let birth = Birth { newborn, parent: by, space, user, flags, exit_signal, told };
        self.make(&birth, script)
    }

    /// Whether somebody in a user namespace may choose ids in a pid namespace: it must belong to that, or to one in it.
    fn may_choose(&self, space: NsId, user: Option<NsId>) -> bool {
        let Some(user) = user else { return true };
        let owner = self.tree.get::<Namespace>(space).and_then(|space| space.owner);
        owner.is_some_and(|owner| self.tree.user_lies_in(owner, user))
    }

    fn make(&self, birth: &Birth, script: &mut Script<'_>) -> Result<()> {
        let tid = birth.newborn.tid;
        let none = || Error::because(format!("make {tid}"), "it has no number there");
        let names = self.tree.names_from(birth.space, tid.0).ok_or_else(none)?;
        let around = self.tree.pid_spaces_from(birth.space).ok_or_else(none)?;
        let around: Vec<NsId> = around.into_iter().chain([self.tree.root_pids()]).collect();
        let chosen = around.iter().take_while(|space| self.may_choose(**space, birth.user)).count();
        if chosen == names.len() {
            script.clone(birth.newborn, &names, birth.flags, birth.exit_signal);
            return Ok(());
        }
        let set = |at: usize| self.set_next(around[at], names[at]);
        self.make_next(birth, (&names, chosen), &set, script)
    }

    /// Makes one whose ids further outside may not be chosen: the next ones are set there, and where somebody else gets one meanwhile
    /// that is tried again.
    fn make_next(
        &self,
        birth: &Birth,
        (names, chosen): (&[u32], usize),
        set_next: &dyn Fn(usize) -> Result<()>,
        script: &mut Script<'_>,
    ) -> Result<()> {
        const TRIES: usize = 100;
        let Tid(wanted) = birth.newborn.tid;
        script.run()?;
        for _ in 0..TRIES {
            (chosen..names.len()).try_for_each(set_next)?;
            let called = script.clone_one(&names[..chosen], birth.flags, birth.exit_signal)?;
            if self.is_made(birth, names)? {
                script.is_born(birth.newborn);
                return Ok(());
            }
            if !birth.newborn.is_process {
                self.end_unknown_thread(self.tree.process_of(birth.parent), script.newborns())?;
            } else if let Some(other) = self.unknown_child(birth.parent, script.newborns())? {
                let other = Tracee::adopt(other as i32)?;
                self.end(other, called, (birth.parent, birth.told))?;
            }
        }
        let what = if birth.newborn.is_process { "process with pid" } else { "thread with id" };
        Err(Error::because(format!("start a {what} {wanted}"), "it is taken"))
    }

    /// Ends a thread of a stub that nobody has come to know yet.
    fn end_unknown_thread(&self, of: Pid, born: &[Newborn]) -> Result<()> {
        let Some(tid) = self.unknown(floe_proc::tids(of.0)?, born) else { return Ok(()) };
        let mut tracee = Tracee::adopt(tid as i32)?;
        let mut regs = tracee.regs()?;
        regs.set_rip(self.stubs.hole).set_orig_rax(u64::MAX).set_rax(libc::SYS_exit as u64);
        tracee.set_regs(&regs)?;
        while !tracee.cont(0)?.wait()?.is_end() {}
        Ok(())
    }

    /// Whether what was made has the ids that it is to have.
    fn is_made(&self, birth: &Birth, names: &[u32]) -> Result<bool> {
        let (tid, process) = (birth.newborn.tid.0, self.tree.process_of(birth.parent));
        let all = match birth.newborn.is_process {
            true => floe_proc::children(process.0, birth.parent.0)?,
            false => floe_proc::tids(process.0)?,
        };
        let is_it = |status: Status| Ok(status.numbers("NSpid")?.iter().rev().eq(names));
        Ok(all.contains(&tid) && Status::of(tid).and_then(is_it)?)
    }

    /// Has the next task in a pid namespace get this id there, unless somebody comes first.
    fn set_next(&self, space: NsId, name: u32) -> Result<()> {
        if space == self.tree.root_pids() {
            return set_last(name - 1);
        }
        let space = self.files.pids(space)?.as_fd();
        match floe_sys::do_in_pids(space, || set_last(name - 1).is_ok())? {
            true => Ok(()),
            false => {
                Err(Error::because("set the next id in a pid namespace", "a child has failed"))
            }
        }
    }
}

/// Sets the last id that was given in our pid namespace.
fn set_last(last: u32) -> Result<()> {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    std::fs::write(LAST, last.to_string()).map_err(|e| Error::new(format!("write {LAST}"), e))
}

/// A number that nothing of the tree has in a pid namespace, behind all that it has there where there is one.
fn spare(tree: &Tree, space: NsId) -> Result<u32> {
    let max = number("/proc/sys/kernel/pid_max")?;
    let taken: BTreeSet<u32> = match tree.get::<PidNames>(space) {
        Some(names) => names.names.iter().map(|name| name.1).collect(),
        None => tree.ids(),
    };
    let behind = taken.last().map_or(2, |last| last + 1);
    let free = (behind..max).next().or_else(|| (2..max).rev().find(|id| !taken.contains(id)));
    free.ok_or_else(|| Error::because("start a process", "no process id is free"))
}
