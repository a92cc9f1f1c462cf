//! Carries out the steps of a plan from the first process to the release of them all.

use crate::{
    cpu::{OneCpu, Stay},
    forced::Forced,
    open::{OpenFiles, is_of_restore},
    process::vmas::make_all,
    release,
    resource::{self, Context},
    script::{Newborn, Script},
    states,
    stubs::Stubs,
};
use floe_parasite::Arg;
use floe_plan::{Inheritance, Phase, Plan, Step, Subject};
use floe_records::*;
use floe_sys::{Error, Guardian, Result, Userfaultfd};
use nix::sched::CloneFlags;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, OwnedFd},
    sync::OnceLock,
};

/// A restore under way. Dropped before the release, it kills what it made.
pub struct Restore<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) files: &'a OpenFiles<'a>,
    inheritance: &'a Inheritance,
    /// Over all processes while they are let go. Where that fails it kills them before the stubs are waited for.
    guardian: Option<Guardian>,
    pub(crate) stubs: Stubs,
    cpu: OneCpu,
    /// What was opened late before its turn.
    made: BTreeMap<FileId, OwnedFd>,
    /// See [`states::watched_groups`].
    watched: OnceLock<BTreeSet<Pid>>,
    forced: Forced,
    /// The root becomes a child of our parent.
    sibling: bool,
}

impl<'a> Restore<'a> {
    /// Begins; nothing is made yet. `sibling`: the root becomes a child of our parent.
    pub fn new(
        tree: &'a Tree,
        files: &'a OpenFiles<'a>,
        plan: &'a Plan,
        sibling: bool,
    ) -> Result<Self> {
        // Threads have opened files; in a pid namespace of the tree's own their ids may be those of the tree.
        floe_sys::is_alone().map_err(|e| Error::new("look for threads", e))?;
        let (stubs, cpu) = (Stubs::new(plan.hole)?, OneCpu::here()?);
        Ok(Self {
            tree,
            files,
            inheritance: &plan.inheritance,
            guardian: None,
            stubs,
            cpu,
            watched: OnceLock::new(),
            made: BTreeMap::new(),
            forced: Forced::default(),
            sibling,
        })
    }

    /// Does some steps in order; neighbours for which the same stub makes calls are done at once. The calling thread stays
    /// on the CPU of the stubs meanwhile.
    pub fn run(&mut self, steps: &[Step]) -> Result<()> {
        self.forced.settle()?;
        let stay = self.cpu.stay();
        let done = self.run_here(steps);
        let back = stay.map_or(Ok(()), Stay::back);
        // Of two failures, the first tells what went wrong.
        done.and(back)
    }

    fn run_here(&mut self, steps: &[Step]) -> Result<()> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let Some(tid) = self.caller(step) else {
                self.step(step)?;
                rest = &rest[1..];
                continue;
            };
            let some = rest.iter().take_while(|step| self.caller(step) == Some(tid)).count();
            self.gather(tid, &rest[..some])?;
            rest = &rest[some..];
        }
        Ok(())
    }

    /// The stub that makes the calls of a step, where one alone does it.
    fn caller(&self, step: &Step) -> Option<Tid> {
        match *step {
            Step::Create(pid, Some(by), _) if self.is_born_inside(pid, by) => None,
            _ => caller(step),
        }
    }

    /// Steps for which one stub makes calls.
    fn gather(&mut self, tid: Tid, steps: &[Step]) -> Result<()> {
        let mut script = Script::new(&self.stubs, tid);
        let done = steps.iter().try_for_each(|step| {
            self.add(step, &mut script)?;
            script.breathe()
        });
        let done = done.and_then(|()| script.run().map(drop));
        // Also where a step has failed: what is made must be ended.
        let born = script.born();
        let adopted = born.iter().try_for_each(|newborn| self.stubs.adopt(*newborn));
        done.and(adopted)
    }

    /// Adds the calls of a step.
    fn add(&self, step: &Step, script: &mut Script<'_>) -> Result<()> {
        if let Step::Apply(phase, subject, kind) = step {
            script.label(format!("{phase}: {} of {subject}", kind.name()));
        } else {
            script.label(step.to_string());
        }
        match *step {
            Step::Create(pid, Some(by), shares) => {
                let exit_signal = self.tree.get::<Process>(pid).map_or(17, |p| p.exit_signal);
                let newborn = Newborn { tid: Tid(pid.0), is_process: true };
                self.clone(newborn, by, (clone_flags(shares), u64::from(exit_signal)), script)?;
            }
            Step::Unshare(_, shares) => {
                script.call(libc::SYS_unshare, [Arg::Val(clone_flags(shares))]);
            }
            Step::Enter(pid) => {
                let maps = self.files.maps_of(pid);
                // What its helper has entered it is in.
                let entered = self.owner_entered(pid);
                let born = self.files.born(pid).and_then(|born| self.files.maps_of(born));
                let outer = entered.map_or(born, |owner| self.tree.get::<IdMaps>(owner));
                let done = maps.is_some_and(|maps| Some(maps.id) == entered);
                for it in self.files.spaces(pid)? {
                    let is_left = it.1 == CloneFlags::CLONE_NEWUSER && !done;
                    if entered.is_none() || is_left {
                        self.enter(pid, (maps, outer), it, script)?;
                    }
                }
            }
            Step::Thread(pid, tid) => {
                let newborn = Newborn { tid, is_process: false };
                self.clone(newborn, Tid(pid.0), (THREAD as u64, 0), script)?;
            }
            Step::Session(_) => drop(script.call(libc::SYS_setsid, [])),
            Step::Controlling(_, pty) => {
                self.terminal(pty, libc::TIOCSCTTY, Arg::Val(0), script)?
            }
            Step::GiveUp(_, pty) => self.terminal(pty, libc::TIOCNOTTY, Arg::Val(0), script)?,
            Step::Foreground(_, pty) => {
                let group = self.tree.get::<Pty>(pty).and_then(|pty| pty.session);
                let group = group.map_or(Ok(0), |(_, group)| script.called(self.tree, group.0))?;
                let group = script.words(&[group]);
                self.terminal(pty, libc::TIOCSPGRP, group.into(), script)?;
            }
            Step::Group(pid, group) => {
                // Most are born in their groups.
                if !script.is_empty() || !is_in(pid, group) {
                    let group = script.called(self.tree, group.0)?;
                    script.call(libc::SYS_setpgid, [Arg::Val(0), Arg::Val(group)]);
                }
            }
            Step::Place(_, pid, group) => {
                let (pid, group) =
                    (script.called(self.tree, pid.0)?, script.called(self.tree, group.0)?);
                script.call(libc::SYS_setpgid, [Arg::Val(pid), Arg::Val(group)]);
            }
            Step::Table(pid) => self.table(pid, script)?,
            Step::Inherit(pid) => {
                make_all(self.context(), self.inheritance.born(pid), script)?;
            }
            Step::Apply(Phase::Fetch, Subject::File(_, _, file), _) => {
                self.files.hand_over(file, script)?;
            }
            Step::Apply(phase, subject, kind) => {
                resource::apply(self.context(), phase, subject, kind, script)?;
            }
            _ => return Err(Error::because("do a step", "no stub makes calls for it")),
        }
        Ok(())
    }

    /// Enters a namespace. In a user namespace the ids are needed that there are.
    pub(crate) fn enter(
        &self,
        pid: Pid,
        (maps, outer): (Option<&IdMaps>, Option<&IdMaps>),
        (space, flag): (u32, CloneFlags),
        script: &mut Script<'_>,
    ) -> Result<()> {
        let maps = maps.filter(|_| flag == CloneFlags::CLONE_NEWUSER);
        if maps.is_some_and(|maps| maps.denies_groups)
            && outer.is_none_or(|outer| !outer.denies_groups)
            && let Some(creds) = self.tree.get::<Creds>(Tid(pid.0))
        {
            let name = |id: &u32| outer.map_or(Some(*id), |outer| outer.group(*id));
            let groups: Vec<u8> =
                creds.groups.iter().filter_map(name).flat_map(u32::to_ne_bytes).collect();
            let len = groups.len() as u64 / 4;
            let groups = script.bytes(&groups);
            script.call(libc::SYS_setgroups, [Arg::Val(len), groups.into()]);
        }
        let args = [u64::from(space), flag.bits() as u64].map(Arg::Val);
        script.call(libc::SYS_setns, args);
        if let Some((user, group)) = maps.and_then(IdMaps::anybody) {
            script.call(libc::SYS_setresgid, [Arg::Val(group.into()); 3]);
            script.call(libc::SYS_setresuid, [Arg::Val(user.into()); 3]);
        }
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        let (tree, files, inheritance) = (self.tree, self.files, self.inheritance);
        Context { tree, files, stubs: &self.stubs, inheritance }
    }

    /// A request to the slave of a pseudo terminal, which every stub has under the number that it has in restore.
    fn terminal(&self, pty: ObjectId, what: u64, with: Arg, script: &mut Script<'_>) -> Result<()> {
        let slave = Arg::Val(u64::from(self.files.slave(pty)?));
        script.call(libc::SYS_ioctl, [slave, Arg::Val(what), with]);
        Ok(())
    }

    /// Steps for which no stub makes calls, or more than one.
    fn step(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Create(pid, None, _) => self.stubs.create_root(pid, self.sibling),
            Step::Create(pid, Some(by), shares) => self.bear(pid, by, shares),
            Step::Leader(group, by) => self.stubs.leader(self.tree, group, by),
            Step::Dismiss(group, by) => self.stubs.dismiss(self.tree, group, by),
            Step::Late(file, kind) => {
                let fd = resource::late(self.tree, file, kind, &mut self.made)?;
                self.files.put_late(file, &fd)
            }
            Step::Leave(pid) => release::leave(self.tree, &self.stubs, self.cpu.before(), pid),
            Step::Masks => release::masks(self.tree, &self.stubs),
            Step::Die(pid) => states::die(self.tree, &mut self.stubs, pid),
            Step::Stop(pid) => {
                let groups = || states::watched_groups(self.tree);
                states::stop(self.tree, self.watched.get_or_init(groups), &mut self.stubs, pid)
            }
            Step::Join(tid) => self.files.cgroups().join(self.tree, tid),
            Step::Pipes => self.files.close_pipes(),
            Step::Limit => self.files.cgroups().limit(),
            Step::Guard => {
                self.files.watch_removed()?;
                self.guardian = Some(release::guardian(self.tree, self.files)?);
                Ok(())
            }
            Step::Procs => self.files.finish_mounts(),
            Step::Send => self.files.send(),
            // Without the network the tree can be restored once more, with it only go on.
            Step::Connect => {
                self.files.keep_carried()?;
                let turn = || release::turn(&self.stubs, self.guardian.as_ref());
                self.files
                    .end_repair()
                    .and_then(|()| turn())
                    .inspect_err(|_| self.files.silence())?;
                self.files.connect()
            }
            Step::Release => release::release(&mut self.stubs),
            Step::Dismissal => {
                self.files.keep_carried()?;
                self.guardian.take().map_or(Ok(()), Guardian::dismiss)?;
                self.stubs.released = true;
                Ok(())
            }
            // Done by restore itself in between.
            Step::Union(_) | Step::Supply(_) | Step::Fill | Step::Seal | Step::Lend(_) => Ok(()),
            _ if is_of_restore(step) => Ok(()),
            _ => Err(Error::because("do a step", "a stub makes its calls")),
        }
    }

    /// Puts the descriptors of a process on their numbers and closes all others.
    fn table(&self, pid: Pid, script: &mut Script<'_>) -> Result<()> {
        let (base, top) = self.files.numbers();
        let (base, top) = (u64::from(base), u64::from(top));
        let sharers = self.tree.sharers(Share::Table, pid);
        let mut kept = BTreeSet::new();
        for user in [&pid].into_iter().chain(sharers) {
            if let Some(space) = self.tree.get::<Namespaces>(*user).and_then(Namespaces::entered) {
                let in_user_space = self.files.maps_of(pid).is_some();
                kept.insert(self.files.hand_over_pids(space, in_user_space, script)?);
            }
        }
        script.call(libc::SYS_close_range, [0, base - 1, 0].map(Arg::Val));
        script.call(libc::SYS_close_range, [top + 1, u64::from(u32::MAX), 0].map(Arg::Val));
        for fd in self.tree.fds(pid) {
            let from = Arg::Val(u64::from(self.files.descriptor(fd)?));
            let flags = if fd.cloexec { libc::O_CLOEXEC as u64 } else { 0 };
            script.call(libc::SYS_dup3, [from, Arg::Val(u64::from(fd.fd.0)), Arg::Val(flags)]);
        }
        let mut from = base;
        // They are set when their content is there.
        let users = [&pid].into_iter().chain(sharers);
        for user in users.filter(|pid| self.files.exe_comes_late(**pid)) {
            kept.insert(u64::from(self.files.exe(*user)?));
        }
        for number in kept {
            if number > from {
                script.call(libc::SYS_close_range, [from, number - 1, 0].map(Arg::Val));
            }
            from = number + 1;
        }
        if from <= top {
            script.call(libc::SYS_close_range, [from, top, 0].map(Arg::Val));
        }
        Ok(())
    }

    /// Writes pages into the parent of a process that is about to be made.
    pub fn parent_pages(&self, pages: &ParentPages, bytes: &[u8]) -> Result<()> {
        let none = || Error::because("write pages for it", "it has no parent").pid(pages.pid.0);
        let parent = self.tree.get::<Process>(pages.pid).ok_or_else(none)?.ppid;
        self.memory(parent, pages.ranges.as_slice(), bytes)
    }

    /// Whether memory of a process can be watched. One in a user namespace of its own has not the right to make what does it.
    pub fn may_be_watched(&self, pid: Pid) -> bool {
        self.files.maps_of(pid).is_none()
    }

    /// Watches the memory of a process, whose pages that are missing will come when it touches them.
    pub fn watch(&self, pid: Pid) -> Result<(OwnedFd, Userfaultfd)> {
        // What has been kept would be missing, and there is nobody yet to bring it.
        self.forced.settle()?;
        let flags = [floe_sys::USERFAULTFD_FLAGS as u64];
        let number = self.stubs.one(pid.0, libc::SYS_userfaultfd, &flags)?;
        let handle = floe_sys::pidfd_open(pid.0 as i32)?;
        let memory = Userfaultfd::take(handle.as_fd(), number as i32)?;
        self.stubs.one(pid.0, libc::SYS_close, &[number])?;
        Ok((handle, memory))
    }

    /// Writes ranges, addresses and lengths in bytes, into the memory of a process, by any thread. What only the one
    /// that traces can write waits for the next [`Restore::run`].
    pub fn memory(&self, pid: Pid, ranges: &[(u64, u32)], bytes: &[u8]) -> Result<()> {
        self.forced.write(pid, ranges, bytes)
    }
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        if !self.stubs.released {
            // One that is frozen would not end, and is waited for.
            self.files.cgroups().thaw();
        }
    }
}

/// Flags of clone(2) for a thread.
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

pub(crate) fn clone_flags(shares: ShareSet) -> u64 {
    let flag = |share| match share {
        Share::Memory => libc::CLONE_VM,
        Share::Table => libc::CLONE_FILES,
        Share::Directories => libc::CLONE_FS,
        Share::Actions => libc::CLONE_SIGHAND,
    };
    shares.iter().map(flag).fold(0, |all, flag| all | flag as u64)
}

fn is_in(pid: Pid, group: Pid) -> bool {
    let id = |pid: Pid| nix::unistd::Pid::from_raw(pid.0 as i32);
    nix::unistd::getpgid(Some(id(pid))) == Ok(id(group))
}

/// The stub that makes the calls of a step, where one alone does it.
fn caller(step: &Step) -> Option<Tid> {
    match *step {
        _ if is_of_restore(step) => None,
        Step::Create(_, Some(by), _) => Some(by),
        Step::Place(by, ..) => Some(Tid(by.0)),
        Step::Thread(pid, _)
        | Step::Unshare(pid, _)
        | Step::Enter(pid)
        | Step::Session(pid)
        | Step::Controlling(pid, _)
        | Step::GiveUp(pid, _)
        | Step::Foreground(pid, _)
        | Step::Group(pid, _)
        | Step::Table(pid)
        | Step::Inherit(pid) => Some(Tid(pid.0)),
        Step::Apply(_, subject, _) => Some(subject.tid()),
        _ => None,
    }
}
