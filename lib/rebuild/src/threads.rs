//! Threads: what they registered, who they are, their registers, and the release.

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::{Error, Guardian, Result};
use floe_tracee::{Regs, RemoteCall, find_syscall_insn};

/// Queued signals to a batch.
const QUEUED: usize = 1000;

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
        tree.threads.iter().filter(|t| t.pid == pid).try_for_each(|thread| self.queue(thread))?;
        self.last(pid)
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
        let (pid, tid) = (Arg::Val(u64::from(t.pid.0)), Arg::Val(u64::from(t.tid.0)));
        let own = self.tree.thread_signals.get(&t.tid).map_or(&[][..], |s| &s.queued);
        let shared = self.tree.signals.get(&t.pid).filter(|_| t.pid.0 == t.tid.0);
        let shared = shared.map_or(&[][..], |s| &s.queued);
        self.tasks[&(t.tid.0 as i32)].set_sigmask(u64::MAX)?;
        let own = own.iter().map(|info| (info, true));
        let all: Vec<(&Bytes, bool)> = own.chain(shared.iter().map(|info| (info, false))).collect();
        for some in all.chunks(QUEUED) {
            let mut b = Batch::new();
            for (info, to_thread) in some {
                let slot = b.bytes(&info.0);
                let signal = Arg::Val(u64::from(info.0.first().copied().unwrap_or(0)));
                match to_thread {
                    true => b.call(libc::SYS_rt_tgsigqueueinfo, [pid, tid, signal, slot.into()]),
                    false => b.call(libc::SYS_rt_sigqueueinfo, [pid, signal, slot.into()]),
                };
            }
            self.slow_runner(t.tid.0 as i32).run(&b)?;
        }
        Ok(())
    }

    /// What may only come when all signals and timers are there.
    fn last(&self, pid: Pid) -> Result<()> {
        let mut b = Batch::new();
        self.ignore_trap(&mut b, pid);
        self.queue_limit(&mut b, pid);
        if b.is_empty() { Ok(()) } else { self.slow_runner(pid.0 as i32).run(&b).map(drop) }
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

    /// Who it is. What takes privileges comes while it has them all.
    fn creds(&self, t: &Thread) -> Result<()> {
        let Some(c) = self.tree.creds.get(&t.tid) else { return Ok(()) };
        let mut b = Batch::new();
        let v = |n: u32| Arg::Val(u64::from(n));
        let prctl = |b: &mut Batch, option: i32, value: u64| {
            b.call(libc::SYS_prctl, [option.into(), Arg::Val(value), 0.into(), 0.into(), 0.into()]);
        };
        let [inheritable, permitted, effective, bounding, ambient] = c.caps;
        let all = floe_sys::effective_capabilities()?;
        // Inheritable ones may lie outside of a bounding set that was narrowed later.
        capset(&mut b, [all, all, inheritable]);
        for cap in (0..64).filter(|cap| bounding >> cap & 1 == 0) {
            b.try_call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP.into(), Arg::Val(cap)]);
        }
        prctl(&mut b, libc::PR_SET_KEEPCAPS, 1);
        let groups = b.bytes(&c.groups.iter().flat_map(|g| g.to_ne_bytes()).collect::<Vec<u8>>());
        b.call(libc::SYS_setgroups, [Arg::Val(c.groups.len() as u64), groups.into()]);
        b.call(libc::SYS_setresgid, [v(c.gids[0]), v(c.gids[1]), v(c.gids[2])]);
        b.call(libc::SYS_setresuid, [v(c.uids[0]), v(c.uids[1]), v(c.uids[2])]);
        b.call(libc::SYS_setfsgid, [v(c.gids[3])]);
        b.call(libc::SYS_setfsuid, [v(c.uids[3])]);
        // A change of the user takes the effective ones away.
        capset(&mut b, [all, all, inheritable]);
        for cap in (0..64).filter(|cap| ambient >> cap & 1 != 0) {
            let raise = Arg::Val(libc::PR_CAP_AMBIENT_RAISE as u64);
            let args = [libc::PR_CAP_AMBIENT.into(), raise, Arg::Val(cap), 0.into(), 0.into()];
            b.call(libc::SYS_prctl, args);
        }
        prctl(&mut b, libc::PR_SET_SECUREBITS, u64::from(c.securebits));
        capset(&mut b, [effective, permitted, inheritable]);
        if c.no_new_privs {
            prctl(&mut b, libc::PR_SET_NO_NEW_PRIVS, 1);
        }
        prctl(&mut b, libc::PR_SET_PDEATHSIG, u64::from(t.pdeath_signal));
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
            // Restore ignores some, and so does what came from it.
            if status & 0x7f != libc::SIGKILL as u32 {
                let mut b = Batch::new();
                crate::settings::act(&mut b, status & 0x7f, None);
                self.runner(pid.0 as i32).run(&b)?;
            }
            regs.set_rax(libc::SYS_kill as u64)
                .set_rdi(u64::from(pid.0))
                .set_rsi(u64::from(status & 0x7f));
            tracee.set_sigmask(0)?;
        }
        tracee.set_regs(&regs)
    }
}

/// capset(2): effective, permitted and inheritable ones.
fn capset(b: &mut Batch, sets: [u64; 3]) {
    /// _LINUX_CAPABILITY_VERSION_3.
    const VERSION: u32 = 0x2008_0522;
    let header: Vec<u8> = [VERSION, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
    let half = |at: u32| sets.map(|set| (set >> at) as u32);
    let data: Vec<u8> = [half(0), half(32)].concat().iter().flat_map(|w| w.to_ne_bytes()).collect();
    let (header, data) = (b.bytes(&header), b.bytes(&data));
    b.call(libc::SYS_capset, [header.into(), data.into()]);
}
