//! Making processes and threads, with their ids in all pid namespaces that they are in.
//!
//! A process in another pid namespace than that of its parent is made by a helper, a child of the parent as well, which becomes the
//! sibling of what it makes (CLONE_PARENT): who has once changed the namespace of its children can start no threads, and may not
//! be allowed to change it back.

use crate::{
    restore::{Restore, clone_flags},
    script::{Newborn, Script},
    states::take_pending,
};
use floe_parasite::Arg;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sys::signal::{Signal, kill};
use std::{collections::BTreeSet, fs::File, os::fd::AsFd};

/// A process that makes another one.
#[derive(Clone, Copy)]
struct Helper {
    tid: Tid,
    /// What its parent calls it.
    called: u64,
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
        let born = self.bear_by(helper.tid, pid, shares);
        // Of two failures, the first tells what went wrong.
        born.and(self.dismiss(helper, by, exit_signal))
    }

    /// Starts a helper, where its maker is.
    fn helper(&mut self, by: Tid, (flags, exit_signal): (u64, u32)) -> Result<Helper> {
        let maker = self.tree.process_of(by);
        let mut names = Vec::new();
        // In that of the root the kernel may choose.
        for space in self.tree.pid_spaces_from(self.tree.pid_space(maker)).unwrap_or_default() {
            names.push(spare(self.tree, space)?);
        }
        let mut script = Script::new(&self.stubs, by);
        script.label("start what makes a process in another pid namespace".to_owned());
        let called = script.clone_one(&names, flags, u64::from(exit_signal))?;
        drop(script);
        let none = || Error::because("find what makes a process", "it is not there").pid(by.0);
        let tid = match names.is_empty() {
            true => called as u32,
            false => {
                let mut children = floe_proc::children(maker.0, by.0)?.into_iter();
                let known = |child: &u32| self.stubs.tasks.contains_key(&(*child as i32));
                children.find(|child| !known(child)).ok_or_else(none)?
            }
        };
        self.stubs.adopt(Newborn { tid: Tid(tid), is_process: true })?;
        Ok(Helper { tid: Tid(tid), called })
    }

    fn bear_by(&mut self, helper: Tid, pid: Pid, shares: ShareSet) -> Result<()> {
        let doing = || format!("make {pid} in its pid namespace");
        let none = || Error::because(doing(), "it has no number there");
        let space = self.tree.pid_space(pid);
        let names = self.tree.names_from(space, pid.0).ok_or_else(none)?;
        let is_init = self.tree.init_of(space) == Some(pid);
        let mut script = Script::new(&self.stubs, helper);
        script.label(doing());
        let mut flags = clone_flags(shares) | libc::CLONE_PARENT as u64;
        if is_init {
            flags |= libc::CLONE_NEWPID as u64;
        } else {
            let number = self.files.hand_over_pids(space, false, &mut script)?;
            let (number, kind) = (Arg::Val(number), Arg::Val(libc::CLONE_NEWPID as u64));
            script.call(libc::SYS_setns, [number, kind]);
            script.call(libc::SYS_close, [number]);
        }
        // It tells its parent of its end as the helper does.
        script.clone(Newborn { tid: Tid(pid.0), is_process: true }, &names, flags, 0);
        let done = script.run().map(drop);
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
    fn dismiss(&mut self, helper: Helper, by: Tid, exit_signal: u32) -> Result<()> {
        let Some(tracee) = self.stubs.end(Pid(helper.tid.0)) else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(helper.tid.0 as i32);
        let fail = |e| Error::new("end what has made a process", e).pid(helper.tid.0);
        kill(pid, Signal::SIGKILL).map_err(fail)?;
        // Where this fails, so does the wait of its parent.
        let _ = tracee.wait_end();
        let mut script = Script::new(&self.stubs, by);
        script.label("wait for what has made a process".to_owned());
        let all = Arg::Val(libc::__WALL as u64);
        script.call(libc::SYS_wait4, [Arg::Val(helper.called), Arg::Val(0), all, Arg::Val(0)]);
        if exit_signal != 0 {
            take_pending(&mut script, 1 << (exit_signal - 1), 1);
        }
        script.run().map(drop)
    }

    /// Adds the making of a process or thread in the pid namespace of its maker. In a user namespace below that of the pid namespace
    /// nobody may choose an id.
    pub(crate) fn clone(
        &self,
        newborn: Newborn,
        (flags, exit_signal): (u64, u64),
        script: &mut Script<'_>,
    ) -> Result<()> {
        let maker = script.pid(self.tree);
        let owner = |all: &Namespaces| Some(self.tree.get::<Namespace>(all.pid_ns)?.owner);
        let is_below = self.files.maps_of(maker).is_some_and(|maps| {
            let all = self.tree.get::<Namespaces>(maker);
            all.and_then(owner).flatten() != Some(maps.id)
        });
        if is_below {
            return script.clone_next(newborn, flags, exit_signal);
        }
        let none = || Error::because(format!("make {}", newborn.tid), "it has no number there");
        let names = self.tree.names_from(self.tree.pid_space(maker), newborn.tid.0);
        script.clone(newborn, &names.ok_or_else(none)?, flags, exit_signal);
        Ok(())
    }
}

/// A number that nothing of the tree has in a pid namespace below that of the root, far from those that are given first.
fn spare(tree: &Tree, space: NsId) -> Result<u32> {
    let path = "/proc/sys/kernel/pid_max";
    let max = std::fs::read_to_string(path).map_err(|e| Error::new(format!("read {path}"), e))?;
    let max: u32 = max.trim().parse().unwrap_or(32_768);
    let names = tree.get::<PidNames>(space).map_or(&[][..], |it| &it.names);
    let taken: BTreeSet<u32> = names.iter().map(|name| name.1).collect();
    let free = (2..max).rev().find(|id| !taken.contains(id));
    free.ok_or_else(|| Error::because("start a process", "no process id is free"))
}
