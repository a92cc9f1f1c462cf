//! Timers of setitimer(2) and timer_create(2).

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::{Error, Result};

/// PR_TIMER_CREATE_RESTORE_IDS of include/uapi/linux/prctl.h, since Linux 6.15.
const RESTORE_IDS: u64 = 77;
/// Size of `struct sigevent`.
const SIGEVENT: usize = 64;
/// Before Linux 6.15 ids ascend one by one; so many are tried until the wanted one comes.
const TRIES: u32 = 65_536;

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

impl Work<'_> {
    pub(crate) fn itimers(&self, pid: Pid) -> Result<()> {
        let Some(timers) = self.tree.timers.get(&pid) else { return Ok(()) };
        for (which, &(interval, left)) in timers.itimers.iter().enumerate() {
            if left == 0 {
                continue;
            }
            let split = |us: u64| [us / 1_000_000, us % 1_000_000];
            let mut b = Batch::new();
            let slot = b.bytes(&words(&[split(interval), split(left)].concat()));
            b.call(libc::SYS_setitimer, [Arg::Val(which as u64), slot.into(), Arg::Val(0)]);
            self.runner(pid.0 as i32).run(&b)?;
        }
        Ok(())
    }

    pub(crate) fn posix_timers(&self, pid: Pid) -> Result<()> {
        let timers = self.tree.timers.get(&pid).map_or(&[][..], |t| &t.posix);
        if timers.is_empty() {
            return Ok(());
        }
        let exact = self.one(pid.0, libc::SYS_prctl, &[RESTORE_IDS, 1]).is_ok();
        for timer in timers {
            if exact {
                self.make_timer(pid, timer)?;
            } else {
                self.make_timer_by_counting(pid, timer)?;
            }
        }
        if exact {
            self.one(pid.0, libc::SYS_prctl, &[RESTORE_IDS, 0])?;
        }
        timers.iter().filter(|t| t.left_ns != 0).try_for_each(|timer| self.arm(pid, timer))
    }

    /// timer_create(2); gives the id. With PR_TIMER_CREATE_RESTORE_IDS it is the one that is asked for.
    fn make_timer(&self, pid: Pid, timer: &PosixTimer) -> Result<u32> {
        let mut event = words(&[timer.value.0]);
        // A thread that has ended hears nothing any more.
        let dead = timer.tid.is_some_and(|tid| !self.tree.threads.iter().any(|t| t.tid == tid));
        let notify = if dead { libc::SIGEV_NONE as u32 } else { timer.notify };
        for word in [timer.signal, notify, timer.tid.map_or(0, |tid| tid.0)] {
            event.extend(word.to_ne_bytes());
        }
        event.resize(SIGEVENT, 0);
        let mut b = Batch::new();
        let event = b.bytes(&event);
        let id = b.bytes(&timer.id.to_ne_bytes());
        let clock = Arg::Val(timer.clock as i64 as u64);
        b.call(libc::SYS_timer_create, [clock, event.into(), id.into()]);
        let replies = self.runner(pid.0 as i32).run(&b)?;
        Ok(replies.bytes(id).first_chunk().map_or(u32::MAX, |b| u32::from_ne_bytes(*b)))
    }

    fn make_timer_by_counting(&self, pid: Pid, timer: &PosixTimer) -> Result<()> {
        for _ in 0..TRIES {
            let id = self.make_timer(pid, timer)?;
            if id == timer.id {
                return Ok(());
            }
            self.one(pid.0, libc::SYS_timer_delete, &[u64::from(id)])?;
            if id > timer.id {
                break;
            }
        }
        let what = "the kernel does not give out that id again";
        Err(Error::because(format!("make timer {}", timer.id), what).pid(pid.0))
    }

    fn arm(&self, pid: Pid, timer: &PosixTimer) -> Result<()> {
        let split = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000];
        let mut b = Batch::new();
        let time = b.bytes(&words(&[split(timer.interval_ns), split(timer.left_ns)].concat()));
        let id = Arg::Val(u64::from(timer.id));
        b.call(libc::SYS_timer_settime, [id, Arg::Val(0), time.into(), Arg::Val(0)]);
        self.runner(pid.0 as i32).run(&b).map(drop)
    }
}
