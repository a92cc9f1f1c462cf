//! Carries out the steps of a plan from the first process to the release of them all.

use crate::{
    open::OpenFiles,
    release,
    resource::{self, Context},
    script::Script,
    stubs::Stubs,
};
use floe_parasite::{Arg, Batch, Runner};
use floe_plan::{Phase, Step, Subject};
use floe_records::*;
use floe_sys::{Error, Guardian, Result};

/// A restore under way. Dropped before the release, it kills what it made.
pub struct Restore<'a> {
    tree: &'a Tree,
    files: &'a OpenFiles<'a>,
    /// Over all processes while they are let go. Where that fails it kills them before the stubs are waited for.
    guardian: Option<Guardian>,
    stubs: Stubs,
}

impl<'a> Restore<'a> {
    /// Begins; nothing is made yet. `hole` is that of the plan.
    pub fn new(tree: &'a Tree, files: &'a OpenFiles<'a>, hole: u64) -> Self {
        Self { tree, files, stubs: Stubs::new(hole), guardian: None }
    }

    /// Does some steps in order; those that concern one thread are done at once.
    pub fn run(&mut self, steps: &[Step]) -> Result<()> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            if is_of_restore(step) {
                rest = &rest[1..];
                continue;
            }
            let Step::Apply(_, subject, _) = step else {
                self.step(step)?;
                rest = &rest[1..];
                continue;
            };
            let tid = subject.tid();
            let same =
                |step: &&Step| matches!(step, Step::Apply(_, subject, _) if subject.tid() == tid);
            let some = rest.iter().take_while(same).take_while(|step| !is_of_restore(step)).count();
            self.apply(tid, &rest[..some])?;
            rest = &rest[some..];
        }
        Ok(())
    }

    fn apply(&self, tid: Tid, steps: &[Step]) -> Result<()> {
        let context = Context { tree: self.tree, files: self.files, stubs: &self.stubs };
        let mut script = Script::new(&self.stubs, tid);
        for step in steps {
            if let Step::Apply(Phase::Fetch, Subject::File(_, _, file), _) = *step {
                self.fetch(file, &mut script)?;
            } else if let Step::Apply(phase, subject, kind) = *step {
                resource::apply(context, phase, subject, kind, &mut script)?;
                script.breathe()?;
            }
        }
        script.run().map(drop)
    }

    /// Has a stub take a descriptor from restore, under the number that it has there.
    fn fetch(&self, file: FileId, script: &mut Script<'_>) -> Result<()> {
        let number = Arg::Val(u64::from(self.files.file(file)?));
        let ours = Arg::Val(u64::from(self.files.restore()?));
        let taken = script.call(libc::SYS_pidfd_getfd, [ours, number, Arg::Val(0)]);
        script.call(libc::SYS_dup3, [taken.into(), number, Arg::Val(libc::O_CLOEXEC as u64)]);
        script.call(libc::SYS_close, [taken.into()]);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Create(pid, None) => self.stubs.create_root(pid),
            Step::Create(pid, Some(parent)) => {
                let exit_signal = self.tree.get::<Process>(pid).map_or(17, |p| p.exit_signal);
                self.stubs.fork(parent, pid, exit_signal)
            }
            Step::Session(pid) => self.stubs.one(pid.0, libc::SYS_setsid, &[]).map(drop),
            Step::Group(pid, group) => {
                self.stubs.one(pid.0, libc::SYS_setpgid, &[0, u64::from(group.0)]).map(drop)
            }
            Step::Leader(group, by) => self.stubs.leader(group, by),
            Step::Dismiss(group, by) => self.stubs.dismiss(group, by),
            Step::Late(file, kind) => {
                let fd = resource::late(self.tree, file, kind)?;
                self.files.put_late(file, &fd)
            }
            Step::Table(pid) => self.table(pid),
            Step::Thread(pid, tid) => self.stubs.thread(pid, tid),
            Step::Leave(pid) => release::leave(self.tree, &self.stubs, pid),
            Step::Masks => release::masks(self.tree, &self.stubs),
            Step::Die(pid) => release::die(self.tree, &self.stubs, pid),
            Step::Stop(pid) => release::stop(pid),
            Step::Guard => {
                self.guardian = Some(release::guardian(self.tree)?);
                Ok(())
            }
            Step::Release => release::release(&mut self.stubs),
            Step::Dismissal => {
                self.guardian.take().map_or(Ok(()), Guardian::dismiss)?;
                self.stubs.released = true;
                Ok(())
            }
            // Done by restore itself, before or in between.
            Step::Union(_)
            | Step::Places
            | Step::Make(_)
            | Step::Prepare(_)
            | Step::Program(_)
            | Step::Mapped(_)
            | Step::Open(..)
            | Step::Outside
            | Step::Writers
            | Step::Fill
            | Step::Seal
            | Step::Lend(_) => Ok(()),
            Step::Apply(..) => Err(Error::because("do a step", "it concerns a thread")),
        }
    }

    /// Puts the descriptors of a process on their numbers and closes all others.
    fn table(&self, pid: Pid) -> Result<()> {
        let base = u64::from(self.files.base());
        let mut b = Batch::new();
        b.call(libc::SYS_close_range, [0, base - 1, 0].map(Arg::Val));
        for fd in self.tree.fds(pid) {
            let from = Arg::Val(u64::from(self.files.descriptor(fd)?));
            let flags = if fd.cloexec { libc::O_CLOEXEC as u64 } else { 0 };
            b.call(libc::SYS_dup3, [from, Arg::Val(u64::from(fd.fd.0)), Arg::Val(flags)]);
        }
        let mut from = base;
        if self.files.exe_comes_late(pid) {
            let exe = u64::from(self.files.exe(pid)?);
            if exe > from {
                b.call(libc::SYS_close_range, [from, exe - 1, 0].map(Arg::Val));
            }
            from = exe + 1;
        }
        b.call(libc::SYS_close_range, [from, u64::from(u32::MAX), 0].map(Arg::Val));
        self.stubs.runner(pid.0 as i32)?.run(&b).map(drop)
    }

    /// Writes pages into place.
    pub fn pages(&self, pages: &Pages, bytes: &[u8]) -> Result<()> {
        floe_sys::write_memory_ranges(pages.pid.0 as i32, pages.ranges.as_slice(), bytes)
    }
}

/// The steps that [`OpenFiles`] carries out, and all others.
pub(crate) fn is_of_restore(step: &Step) -> bool {
    matches!(
        step,
        Step::Places
            | Step::Make(_)
            | Step::Prepare(_)
            | Step::Program(_)
            | Step::Mapped(_)
            | Step::Open(..)
            | Step::Outside
            | Step::Writers
            | Step::Apply(Phase::Opened, Subject::File(..), _)
    )
}
