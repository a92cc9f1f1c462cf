//! Signal actions, the queue of a process, and what it is told of its children.

use crate::{
    Result,
    process::settings::words,
    resource::OfProcess,
    subject::{Process, unless_gone},
};
use floe_parasite::{Batch, Replies, Slot};
use floe_proc::{Stat, Status};
use floe_records::*;
use floe_sys::Error;
use floe_tracee::Tracee;

/// Where the answers will be found.
pub(crate) struct Asked {
    /// By signal: `struct sigaction` of the kernel (handler, flags, restorer, mask).
    actions: Vec<(u32, Slot)>,
    /// By child: siginfo of waitid(2), where there is something to be told.
    children: Vec<(u32, Slot)>,
}

impl OfProcess for ProcessSignals {
    type Asked = Asked;

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        for (pid, stat) in process.children.iter().filter(|(_, stat)| stat.is_dead()) {
            let mut lose = |object: &str, rule: &str, problem: &str| {
                out.lose(Finding::of(Pid(*pid), object, rule, problem));
            };
            if stat.cpu_ticks > 0 {
                let problem = "it has ended: the processor time that wait4(2) tells of it comes back as nearly none";
                lose("resource usage", "signals.usage", problem);
            }
            let own = groups(std::process::id())?;
            // It may be waited for while it is looked at.
            if unless_gone(groups(*pid).map(Some))?.is_some_and(|groups| groups != own) {
                let problem = "it has ended: its groups come back as those of restore";
                lose("groups", "signals.groups", problem);
            }
            if stat.exit_code & 0x80 != 0 {
                let problem = "it has ended with a core file: its status comes back as without one";
                lose("wait status", "signals.core", problem);
            }
        }
        Ok(())
    }

    fn ask(process: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        let set = (1..=64).filter(|&s| s != libc::SIGKILL as u32 && s != libc::SIGSTOP as u32);
        let action = |signal: u32| {
            let slot = batch.zeroed(32);
            let args = [u64::from(signal).into(), 0.into(), slot.into(), 8.into()];
            batch.call(libc::SYS_rt_sigaction, args);
            (signal, slot)
        };
        let actions = set.map(action).collect();
        let living = process.children.iter().filter(|(_, stat)| !stat.is_dead());
        let level = process.status.numbers("NSpid")?.len().saturating_sub(1);
        let child = |(pid, _): &(u32, Stat)| -> Result<(u32, Slot)> {
            let slot = batch.zeroed(128);
            // It stays as it is: WNOWAIT.
            let flags =
                libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
            let id = u64::from(called(*pid, level)?).into();
            let args =
                [u64::from(libc::P_PID).into(), id, slot.into(), (flags as u64).into(), 0.into()];
            batch.call(libc::SYS_waitid, args);
            Ok((*pid, slot))
        };
        Ok(Asked { actions, children: living.map(child).collect::<Result<_>>()? })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        let action = |(signal, slot): (u32, Slot)| {
            let [handler, flags, restorer, mask] = words(replies, slot);
            let (handler, restorer) = (Addr(handler), Addr(restorer));
            let set = [handler.0, flags, restorer.0, mask] != [0; 4];
            set.then_some(SigAction { signal, handler, flags, restorer, mask })
        };
        let told = |(pid, slot): (u32, Slot)| {
            let [_, code, ..] = words::<4>(replies, slot);
            let news = match code as i32 {
                libc::CLD_STOPPED => News::Stopped,
                libc::CLD_CONTINUED => News::Continued,
                _ => return None,
            };
            Some(Child { pid: Pid(pid), news })
        };
        let mut children: Vec<Child> = asked.children.into_iter().filter_map(told).collect();
        for (pid, stat) in process.children.iter().filter(|(_, stat)| stat.is_dead()) {
            let [uid, ..] = Status::of(*pid)?.ids("Uid")?;
            let news = News::Ended { uid, comm: stat.comm.as_slice().into() };
            children.push(Child { pid: Pid(*pid), news });
        }
        children.sort_by_key(|child| child.pid);
        Ok(vec![ProcessSignals {
            pid: Pid(process.pid),
            actions: asked.actions.into_iter().filter_map(action).collect(),
            queued: queue(process.leader()?, true)?,
            children,
        }])
    }
}

/// What a process is called in the pid namespace that lies so deep below the one that we see.
fn called(pid: u32, level: usize) -> Result<u32> {
    if level == 0 {
        return Ok(pid);
    }
    let names = Status::of(pid)?.numbers("NSpid")?;
    let none = || Error::because("ask for it", "its parent has no number for it").pid(pid);
    Ok(names.get(level).copied().ok_or_else(none)?)
}

/// Groups of a process: real, effective, saved, file system, then all others.
fn groups(pid: u32) -> floe_sys::Result<Vec<u32>> {
    let status = Status::of(pid)?;
    let mut all = status.ids("Gid")?.to_vec();
    all.extend(status.numbers("Groups")?);
    Ok(all)
}

/// Signals that are queued for the process (`shared`) or for the thread alone.
pub(crate) fn queue(tracee: &Tracee, shared: bool) -> Result<Vec<Bytes>> {
    Ok(tracee.queued(shared)?.iter().map(|info| Bytes::from(&info[..])).collect())
}
