//! epoll(7). The instance is made in restore; its watches are added inside a process that has it, because a
//! watch remembers the number of its descriptor.

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags};
use std::os::fd::OwnedFd;

const EPOLL_CTL_ADD: u64 = 1;

pub(super) fn epoll() -> Result<OwnedFd> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
        .map_err(|e| Error::new("make an epoll instance", e))?;
    Ok(epoll.0)
}

impl Work<'_> {
    /// Adds the watches of the instances that this process is the first to have. Its descriptors are not in
    /// their places yet: any number below the base may be taken.
    pub(crate) fn watches(&self, pid: Pid) -> Result<()> {
        for fd in self.tree.fds.get(&pid).into_iter().flatten() {
            let Some(OpenFile { what: FileKind::Epoll(watches), .. }) =
                self.tree.files.get(&fd.file)
            else {
                continue;
            };
            if self.tree.holder(fd.file) != Some((pid, fd.fd)) {
                continue;
            }
            let epoll = u64::from(self.open.file(fd.file)?);
            for watch in watches {
                let mut b = Batch::new();
                let number = Arg::Val(u64::from(watch.fd.0));
                let file = Arg::Val(u64::from(self.open.file(watch.file)?));
                b.call(libc::SYS_dup3, [file, number, Arg::Val(libc::O_CLOEXEC as u64)]);
                // struct epoll_event is packed.
                let event = [&watch.events.to_ne_bytes()[..], &watch.data.to_ne_bytes()].concat();
                let event = b.bytes(&event);
                let add = Arg::Val(EPOLL_CTL_ADD);
                b.call(libc::SYS_epoll_ctl, [Arg::Val(epoll), add, number, event.into()]);
                b.call(libc::SYS_close, [number]);
                self.runner(pid.0 as i32).run(&b)?;
            }
        }
        Ok(())
    }
}
