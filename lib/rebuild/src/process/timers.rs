//! Timers of setitimer(2) and timer_create(2).

use crate::{
    resource::{Context, ForProcess},
    script::Script,
};
use floe_parasite::{Arg, Slot};
use floe_plan::Phase;
use floe_records::*;
use floe_sys::{Error, Result};

/// PR_TIMER_CREATE_RESTORE_IDS of include/uapi/linux/prctl.h, since Linux 6.15.
const RESTORE_IDS: u64 = 77;
/// Size of `struct sigevent`.
const SIGEVENT: usize = 64;
/// Before Linux 6.15 ids ascend one by one: the number of timers that are made until the wanted id comes.
const TRIES: u32 = 65_536;

impl ForProcess for Timers {
    fn apply(context: Context<'_>, pid: Pid, _: Phase, script: &mut Script<'_>) -> Result<()> {
        let Some(timers) = context.tree.get::<Timers>(pid) else { return Ok(()) };
        posix(context.tree, pid, &timers.posix, script)?;
        for (which, &(interval, left)) in
            timers.itimers.iter().enumerate().filter(|(_, t)| t.1 != 0)
        {
            let split = |us: u64| [us / 1_000_000, us % 1_000_000];
            let slot = script.words(&[split(interval), split(left)].concat());
            script.call(libc::SYS_setitimer, [which.into(), slot.into(), Arg::Val(0)]);
        }
        Ok(())
    }
}

fn posix(tree: &Tree, pid: Pid, timers: &[PosixTimer], script: &mut Script<'_>) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    let restore_ids =
        |on: u64| [Arg::Val(RESTORE_IDS), Arg::Val(on), Arg::Val(0), Arg::Val(0), Arg::Val(0)];
    script.run()?;
    let asked = script.try_call(libc::SYS_prctl, restore_ids(1));
    let exact = script.run()?.is_some_and(|replies| replies.errno(asked).is_none());
    for timer in timers {
        if exact {
            make(tree, timer, script)?;
            script.breathe()?;
        } else {
            make_by_counting(tree, pid, timer, script)?;
        }
    }
    if exact {
        script.call(libc::SYS_prctl, restore_ids(0));
    }
    for timer in timers.iter().filter(|t| t.left_ns != 0) {
        let split = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000];
        let time = script.words(&[split(timer.interval_ns), split(timer.left_ns)].concat());
        let id = Arg::Val(u64::from(timer.id));
        script.call(libc::SYS_timer_settime, [id, Arg::Val(0), time.into(), Arg::Val(0)]);
        script.breathe()?;
    }
    Ok(())
}

/// timer_create(2); where the id will be found. With PR_TIMER_CREATE_RESTORE_IDS it is the one that is asked for.
fn make(tree: &Tree, timer: &PosixTimer, script: &mut Script<'_>) -> Result<Slot> {
    let mut event = timer.value.0.to_ne_bytes().to_vec();
    // A thread that has ended hears nothing any more.
    let dead = timer.tid.is_some_and(|tid| tree.get::<Thread>(tid).is_none());
    let notify = if dead { libc::SIGEV_NONE as u32 } else { timer.notify };
    let told = timer.tid.filter(|_| !dead);
    let told = told.map_or(Ok(0), |tid| script.called(tree, tid.0))? as u32;
    for word in [timer.signal, notify, told] {
        event.extend(word.to_ne_bytes());
    }
    event.resize(SIGEVENT, 0);
    let (event, id) = (script.bytes(&event), script.bytes(&timer.id.to_ne_bytes()));
    let clock = Arg::Val(timer.clock as i64 as u64);
    script.call(libc::SYS_timer_create, [clock, event.into(), id.into()]);
    Ok(id)
}

fn make_by_counting(
    tree: &Tree,
    pid: Pid,
    timer: &PosixTimer,
    script: &mut Script<'_>,
) -> Result<()> {
    for _ in 0..TRIES {
        let slot = make(tree, timer, script)?;
        let replies = script.run()?;
        let id = replies.and_then(|replies| replies.bytes(slot).first_chunk().copied());
        let id = id.map_or(u32::MAX, u32::from_ne_bytes);
        if id == timer.id {
            return Ok(());
        }
        script.one(libc::SYS_timer_delete, [Arg::Val(u64::from(id))])?;
        if id > timer.id {
            break;
        }
    }
    let what = "the kernel does not give out that id again";
    Err(Error::because(format!("make timer {}", timer.id), what).pid(pid.0))
}
