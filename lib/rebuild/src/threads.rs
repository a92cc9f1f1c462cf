//! Threads: what they registered, who they are, their registers, and the release.

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::{Error, Guardian, Result};
use floe_tracee::{Regs, RemoteCall, find_syscall_insn};

impl Work<'_> {
    pub(crate) fn finish(&mut self, pid: Pid) -> Result<()> {
        self.late_exe(pid)?;
        self.protect(pid)?;
        self.limits(pid)?;
        self.owners(pid)?;
        self.posix_locks(pid)?;
        let tree = self.tree;
        for thread in tree.threads.iter().filter(|t| t.pid == pid) {
            self.registered(thread)?;
            self.sched(thread)?;
            self.creds(thread)?;
        }
        if let Some(p) = tree.processes.iter().find(|p| p.pid == pid && p.dumpable != 2) {
            self.one(pid.0, libc::SYS_prctl, &[4, u64::from(p.dumpable)])?;
        }
        self.posix_timers(pid)?;
        self.itimers(pid)?;
        tree.threads.iter().filter(|t| t.pid == pid).try_for_each(|thread| self.queue(thread))
    }

    fn registered(&self, t: &Thread) -> Result<()> {
        let tid = t.tid.0;
        self.one(tid, libc::SYS_set_tid_address, &[t.clear_child_tid.0])?;
        if t.robust_list.1 != 0 {
            self.one(tid, libc::SYS_set_robust_list, &[t.robust_list.0.0, t.robust_list.1])?;
        }
        if let Some(r) = t.rseq {
            self.one(
                tid,
                libc::SYS_rseq,
                &[r.addr.0, u64::from(r.len), 0, u64::from(r.signature)],
            )?;
        }
        let mut b = Batch::new();
        let mut comm = t.comm.0.clone();
        comm.resize(16, 0);
        let name = b.bytes(&comm);
        b.call(libc::SYS_prctl, [Arg::Val(15), name.into()]);
        if let Some(s) = self.tree.thread_signals.get(&t.tid) {
            // Also where there is none: a stub begins with the one of restore. SS_ONSTACK cannot be set.
            let (addr, flags, size) = s.altstack;
            let words = [addr.0, u64::from(flags & !1), size];
            let stack = b.bytes(&words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>());
            b.call(libc::SYS_sigaltstack, [stack.into(), Arg::Val(0)]);
        }
        self.runner(tid as i32).run(&b).map(drop)
    }

    /// The signals that wait. From here on all are blocked, the breakpoint of the payload too: one may wait.
    fn queue(&self, t: &Thread) -> Result<()> {
        let mut b = Batch::new();
        let (pid, tid) = (Arg::Val(u64::from(t.pid.0)), Arg::Val(u64::from(t.tid.0)));
        let signal = |info: &Bytes| Arg::Val(u64::from(info.0.first().copied().unwrap_or(0)));
        for info in self.tree.thread_signals.get(&t.tid).into_iter().flat_map(|s| &s.queued) {
            let slot = b.bytes(&info.0);
            b.call(libc::SYS_rt_tgsigqueueinfo, [pid, tid, signal(info), slot.into()]);
        }
        if t.pid.0 == t.tid.0 {
            for info in self.tree.signals.get(&t.pid).into_iter().flat_map(|s| &s.queued) {
                let slot = b.bytes(&info.0);
                b.call(libc::SYS_rt_sigqueueinfo, [pid, signal(info), slot.into()]);
            }
            self.ignore_trap(&mut b, t.pid);
        }
        let tid = t.tid.0 as i32;
        self.tasks[&tid].set_sigmask(u64::MAX)?;
        if b.is_empty() { Ok(()) } else { self.slow_runner(tid).run(&b).map(drop) }
    }

    fn sched(&self, t: &Thread) -> Result<()> {
        let Some(s) = self.tree.sched.get(&t.tid) else { return Ok(()) };
        let tid = t.tid.0 as i32;
        if floe_sys::affinity(tid)? != s.affinity.0 {
            floe_sys::set_affinity(tid, &s.affinity.0)?;
        }
        let mut b = Batch::new();
        let attr = b.bytes(&s.attr.0);
        b.call(libc::SYS_sched_setattr, [Arg::Val(0), attr.into(), Arg::Val(0)]);
        b.call(libc::SYS_prctl, [Arg::Val(29), Arg::Val(s.timerslack_ns)]);
        self.runner(tid).run(&b).map(drop)
    }

    fn creds(&self, t: &Thread) -> Result<()> {
        let Some(c) = self.tree.creds.get(&t.tid) else { return Ok(()) };
        let mut b = Batch::new();
        let v = |n: u32| Arg::Val(u64::from(n));
        b.call(libc::SYS_prctl, [Arg::Val(8), Arg::Val(1)]);
        for cap in 0..64 {
            if c.caps[3] >> cap & 1 == 0 {
                b.try_call(libc::SYS_prctl, [Arg::Val(24), Arg::Val(cap)]);
            }
        }
        let groups = b.bytes(&c.groups.iter().flat_map(|g| g.to_ne_bytes()).collect::<Vec<u8>>());
        b.call(libc::SYS_setgroups, [Arg::Val(c.groups.len() as u64), groups.into()]);
        b.call(libc::SYS_setresgid, [v(c.gids[0]), v(c.gids[1]), v(c.gids[2])]);
        b.call(libc::SYS_setresuid, [v(c.uids[0]), v(c.uids[1]), v(c.uids[2])]);
        b.call(libc::SYS_setfsgid, [v(c.gids[3])]);
        b.call(libc::SYS_setfsuid, [v(c.uids[3])]);
        let (i, p, e) = (c.caps[0], c.caps[1], c.caps[2]);
        let header: Vec<u8> = [0x2008_0522u32, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
        let half = |at: u32| [(e >> at) as u32, (p >> at) as u32, (i >> at) as u32];
        let data: Vec<u8> =
            [half(0), half(32)].concat().iter().flat_map(|w| w.to_ne_bytes()).collect();
        let (header, data) = (b.bytes(&header), b.bytes(&data));
        b.call(libc::SYS_capset, [header.into(), data.into()]);
        for cap in (0..64).filter(|cap| c.caps[4] >> cap & 1 != 0) {
            b.call(libc::SYS_prctl, [Arg::Val(47), Arg::Val(2), Arg::Val(cap)]);
        }
        if c.securebits == 0 {
            b.call(libc::SYS_prctl, [Arg::Val(8), Arg::Val(0)]);
        } else {
            b.call(libc::SYS_prctl, [Arg::Val(28), v(c.securebits)]);
        }
        if c.no_new_privs {
            b.call(
                libc::SYS_prctl,
                [Arg::Val(38), Arg::Val(1), Arg::Val(0), Arg::Val(0), Arg::Val(0)],
            );
        }
        b.call(libc::SYS_prctl, [Arg::Val(1), v(t.pdeath_signal)]);
        self.runner(t.tid.0 as i32).run(&b).map(drop)
    }

    pub(crate) fn release(&mut self) -> Result<()> {
        let tree = self.tree;
        for p in tree.processes.iter().filter(|p| !matches!(p.state, State::Zombie(_))) {
            self.leave(p.pid)?;
        }
        for t in &tree.threads {
            if let (Some(tracee), Some(s)) =
                (self.tasks.get(&(t.tid.0 as i32)), tree.thread_signals.get(&t.tid))
            {
                tracee.set_sigmask(s.mask)?;
            }
        }
        for p in &tree.processes {
            let pid = nix::unistd::Pid::from_raw(p.pid.0 as i32);
            match p.state {
                State::Zombie(status) => self.die(p.pid, status)?,
                State::Stopped(_) => nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP)
                    .map_err(|e| Error::new("stop it", e).pid(p.pid.0))?,
                State::Alive => {}
            }
        }
        let pids: Vec<i32> = tree.processes.iter().map(|p| p.pid.0 as i32).collect();
        // From the first to the last one that is let go, a guardian takes the place of our tracing.
        let guardian = Guardian::over(&pids)?;
        for (_, tracee) in std::mem::take(&mut self.tasks) {
            match tracee.detach() {
                // Who runs already may have ended others.
                Err(e) if e.cause().raw_os_error() == Some(libc::ESRCH) => {}
                done => done?,
            }
        }
        guardian.dismiss()?;
        self.released = true;
        Ok(())
    }

    /// Registers back, and the last system call unmaps the hole from outside of it.
    fn leave(&mut self, pid: Pid) -> Result<()> {
        let insn = self.foreign_insn(pid)?;
        for t in self.tree.threads.iter().filter(|t| t.pid == pid) {
            let tid = t.tid.0 as i32;
            let bad = || Error::because("set its registers", "the record is damaged").pid(t.tid.0);
            let bytes: &[u8; 216] = t.regs.0.as_slice().try_into().map_err(|_| bad())?;
            let mut regs = Regs::from_bytes(bytes);
            // The kernel's restart block is gone: begin the call again.
            if regs.rax() as i64 == -516 && (regs.orig_rax() as i64) >= 0 {
                regs.set_rax(-513i64 as u64);
            }
            self.tasks[&tid].set_xstate(&t.xstate.0)?;
            let mut remote = RemoteCall::begin(tid, insn)?;
            if t.tid.0 == pid.0 {
                remote.call(
                    libc::SYS_munmap,
                    [self.hole, floe_plan::HOLE, 0, 0, 0, 0],
                    &mut |_| Ok(()),
                )?;
            }
            remote.finish_with(&regs)?;
        }
        Ok(())
    }

    /// A `syscall` instruction of the process's own memory.
    fn foreign_insn(&self, pid: Pid) -> Result<u64> {
        let insn = find_syscall_insn(pid.0 as i32)?;
        if (self.hole..self.hole + floe_plan::HOLE).contains(&insn) {
            return Err(Error::because("leave it", "it has no vdso with a system call").pid(pid.0));
        }
        Ok(insn)
    }

    fn die(&self, pid: Pid, status: u32) -> Result<()> {
        let Some(tracee) = self.tasks.get(&(pid.0 as i32)) else { return Ok(()) };
        let mut regs = tracee.regs()?;
        regs.set_rip(self.hole).set_orig_rax(u64::MAX).set_rax(libc::SYS_exit_group as u64);
        regs.set_rdi(u64::from(status >> 8 & 0xff));
        if status & 0x7f != 0 {
            regs.set_rax(libc::SYS_kill as u64)
                .set_rdi(u64::from(pid.0))
                .set_rsi(u64::from(status & 0x7f));
            tracee.set_sigmask(0)?;
        }
        tracee.set_regs(&regs)
    }
}
