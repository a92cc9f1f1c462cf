//! What a process has besides memory and threads.

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::Result;

impl Work<'_> {
    pub(crate) fn descriptors(&self, pid: Pid) -> Result<()> {
        let base = u64::from(self.open.base());
        let fs = self.open.places(pid)?;
        self.one(pid.0, libc::SYS_fchdir, &[u64::from(fs.0)])?;
        if let Some(root) = fs.1 {
            // fchroot does not exist: go there, chroot to ".", and back.
            self.one(pid.0, libc::SYS_fchdir, &[u64::from(root)])?;
            let mut b = Batch::new();
            let dot = b.bytes(b".\0");
            let call = b.call(libc::SYS_chroot, [dot.into()]);
            self.runner(pid.0 as i32).run(&b)?.value(call)?;
            self.one(pid.0, libc::SYS_fchdir, &[u64::from(fs.0)])?;
        }
        self.watches(pid)?;
        self.one(pid.0, libc::SYS_close_range, &[0, base - 1, 0])?;
        let mut b = Batch::new();
        for fd in self.tree.fds.get(&pid).into_iter().flatten() {
            let from = Arg::Val(u64::from(self.open.descriptor(fd)?));
            let flags = if fd.cloexec { libc::O_CLOEXEC as u64 } else { 0 };
            b.call(libc::SYS_dup3, [from, Arg::Val(u64::from(fd.fd.0)), Arg::Val(flags)]);
        }
        self.runner(pid.0 as i32).run(&b)?;
        let mut from = base;
        if self.exe_comes_late(pid) {
            let exe = u64::from(self.open.exe(pid)?);
            if exe > from {
                self.one(pid.0, libc::SYS_close_range, &[from, exe - 1, 0])?;
            }
            from = exe + 1;
        }
        self.one(pid.0, libc::SYS_close_range, &[from, u64::from(u32::MAX), 0]).map(drop)
    }

    pub(crate) fn settings(&self, pid: Pid) -> Result<()> {
        if let Some(fs) = self.tree.fs.get(&pid) {
            self.one(pid.0, libc::SYS_umask, &[u64::from(fs.umask)])?;
        }
        self.actions(pid)?;
        if let Some(p) = self.tree.processes.iter().find(|p| p.pid == pid) {
            self.one(pid.0, libc::SYS_personality, &[u64::from(p.personality)])?;
            self.one(pid.0, libc::SYS_prctl, &[36, u64::from(p.child_subreaper)])?;
            self.one(pid.0, libc::SYS_prctl, &[41, u64::from(p.thp_disabled), 0, 0, 0])?;
            let path = format!("/proc/{pid}/oom_score_adj");
            let now = std::fs::read_to_string(&path).unwrap_or_default();
            if now.trim() != p.oom_score_adj.to_string() {
                std::fs::write(&path, p.oom_score_adj.to_string())
                    .map_err(|e| floe_sys::Error::new(format!("write {path}"), e).pid(pid.0))?;
            }
        }
        Ok(())
    }

    fn actions(&self, pid: Pid) -> Result<()> {
        let mut b = Batch::new();
        for signal in (1..=64u32).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(&(*s as i32)))
        {
            let action = self.action(pid, signal);
            if signal != libc::SIGTRAP as u32 || action.is_none_or(|a| a.handler != IGNORED) {
                act(&mut b, signal, action);
            }
        }
        self.runner(pid.0 as i32).run(&b).map(drop)
    }

    fn action(&self, pid: Pid, signal: u32) -> Option<&SigAction> {
        self.tree.signals.get(&pid)?.actions.iter().find(|a| a.signal == signal)
    }

    /// Where SIGTRAP is to be ignored, that comes last: a breakpoint would reset it.
    pub(crate) fn ignore_trap(&self, b: &mut Batch, pid: Pid) {
        let signal = libc::SIGTRAP as u32;
        if let Some(action) = self.action(pid, signal).filter(|a| a.handler == IGNORED) {
            act(b, signal, Some(action));
        }
    }
}

/// SIG_IGN.
const IGNORED: Addr = Addr(1);

/// Sets what a signal does; the default for `None`.
pub(crate) fn act(b: &mut Batch, signal: u32, action: Option<&SigAction>) {
    let words = action.map_or([0; 4], |a| [a.handler.0, a.flags, a.restorer.0, a.mask]);
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    let slot = b.bytes(&bytes);
    let args = [Arg::Val(u64::from(signal)), slot.into(), Arg::Val(0), Arg::Val(8)];
    b.call(libc::SYS_rt_sigaction, args);
}
