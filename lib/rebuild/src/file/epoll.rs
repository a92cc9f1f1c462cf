//! epoll(7). The instance is made in restore; its watches are added inside a process that has it, because a
//! watch remembers the number of its descriptor.

use crate::{
    factory::{Factory, with_status},
    resource::{Context, ForFile},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{Epoll, FdNum, OpenFile, Pid};
use floe_sys::{Error, Result};
use nix::sys::epoll::{self, EpollCreateFlags};
use std::os::fd::OwnedFd;

impl ForFile for Epoll {
    fn open(&self, open: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let epoll = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|e| Error::new("make an epoll instance", e))?;
        with_status(epoll.0, open)
    }

    /// The descriptors of the process are not in their places yet: any number below the base may be taken.
    fn apply(&self, context: Context<'_>, _: Pid, _: FdNum, script: &mut Script<'_>) -> Result<()> {
        let epoll = Arg::Val(u64::from(context.files.file(self.file)?));
        for watch in &self.watches {
            let number = Arg::Val(u64::from(watch.fd.0));
            let file = Arg::Val(u64::from(context.files.file(watch.file)?));
            script.call(libc::SYS_dup3, [file, number, Arg::Val(libc::O_CLOEXEC as u64)]);
            // struct epoll_event is packed.
            let event = [&watch.events.to_ne_bytes()[..], &watch.data.to_ne_bytes()].concat();
            let event = script.bytes(&event);
            let add = libc::EPOLL_CTL_ADD.into();
            script.call(libc::SYS_epoll_ctl, [epoll, add, number, event.into()]);
            script.call(libc::SYS_close, [number]);
            script.breathe()?;
        }
        Ok(())
    }
}
