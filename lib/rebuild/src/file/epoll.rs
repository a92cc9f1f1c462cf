//! epoll(7). The instance is made in restore; its watches are added inside a process that has it, because a
//! watch remembers the number of its descriptor.

use crate::{
    factory::with_status,
    resource::{Context, ForFile},
    script::Script,
    stand::Stands,
};
use floe_parasite::{Arg, Slot};
use floe_records::{Epoll, EpollWatch, FdNum, OpenFile, Pid};
use floe_sys::{Error, Result};
use nix::sys::epoll::{self, EpollCreateFlags};
use std::os::fd::OwnedFd;

impl ForFile for Epoll {
    fn open_alone(&self, open: &OpenFile, _: &Stands<'_>) -> Option<Result<OwnedFd>> {
        let epoll = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|e| Error::new("make an epoll instance", e));
        Some(epoll.and_then(|epoll| with_status(epoll.0, open)))
    }

    /// The descriptors of the process are not in their places yet: any number below the base may be taken.
    fn apply(&self, context: Context<'_>, _: Pid, _: FdNum, script: &mut Script<'_>) -> Result<()> {
        let epoll = Arg::Val(u64::from(context.files.file(self.file)?));
        // While no other watch is there, so that nobody else's event is taken.
        let (fired, armed): (Vec<&EpollWatch>, Vec<_>) =
            self.watches.iter().partition(|it| is_fired(it));
        for watch in fired.into_iter().chain(armed) {
            let number = Arg::Val(u64::from(watch.fd.0));
            let file = Arg::Val(u64::from(context.files.file(watch.file)?));
            script.call(libc::SYS_dup3, [file, number, Arg::Val(libc::O_CLOEXEC as u64)]);
            if is_fired(watch) {
                add_fired(watch, epoll, number, script)?;
            } else {
                let event = event(script, watch.events, watch.data);
                let add = libc::EPOLL_CTL_ADD.into();
                script.call(libc::SYS_epoll_ctl, [epoll, add, number, event.into()]);
            }
            script.call(libc::SYS_close, [number]);
            script.breathe()?;
        }
        Ok(())
    }
}

/// What the kernel adds to every watch, and takes off again when one with EPOLLONESHOT fires.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// Whether a watch with EPOLLONESHOT has fired and waits to be set again.
fn is_fired(watch: &EpollWatch) -> bool {
    watch.events & libc::EPOLLONESHOT as u32 != 0 && watch.events & ALWAYS == 0
}

/// Adds a watch and has it fire: there is no other way to make it as it was. Where its file is ready for nothing, it is left to
/// wait for errors and hang-ups.
fn add_fired(watch: &EpollWatch, epoll: Arg, number: Arg, script: &mut Script<'_>) -> Result<()> {
    let anything = (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32;
    let wide = event(script, watch.events | anything, watch.data);
    script.call(libc::SYS_epoll_ctl, [epoll, libc::EPOLL_CTL_ADD.into(), number, wide.into()]);
    let met = event(script, 0, 0);
    let wait = [epoll, met.into(), 1.into(), 0.into(), 0.into(), 0.into()];
    let ready = script.call(libc::SYS_epoll_pwait, wait);
    let replies = script.run()?;
    if replies.map_or(Ok(0), |replies| replies.value(ready))? == 0 {
        let narrow = event(script, watch.events, watch.data);
        let modify = libc::EPOLL_CTL_MOD.into();
        script.call(libc::SYS_epoll_ctl, [epoll, modify, number, narrow.into()]);
    }
    Ok(())
}

/// `struct epoll_event`, which is packed.
fn event(script: &mut Script<'_>, events: u32, data: u64) -> Slot {
    script.bytes(&[&events.to_ne_bytes()[..], &data.to_ne_bytes()].concat())
}
