//! Leases, taken by the process itself: the kernel notes the number of the descriptor, for the signal. All descriptors of the
//! tree are inherited from restore, and so are the same descriptions: no other one is in the way of a lease.

use crate::{
    resource::{Context, ForDescriptor},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::{FdNum, Lease, Owner};
use floe_sys::{Error, Result, lease_would_be_had};
use std::os::fd::{AsFd, OwnedFd};

const F_SETOWN: u64 = 8;
const F_SETLEASE: u64 = libc::F_SETLEASE as u64;

fn kind(lease: &Lease) -> i32 {
    if lease.exclusive { libc::F_WRLCK } else { libc::F_RDLCK }
}

impl ForDescriptor for Lease {
    /// Finds out whether the process will get it.
    fn opened(&self, fd: &OwnedFd, _: &mut dyn FnMut(String)) -> Result<()> {
        lease_would_be_had(fd.as_fd(), kind(self)).map_err(|e| match e.raw_os_error() {
            Some(libc::EAGAIN) if self.exclusive => {
                Error::because("take its lease", "somebody else has the file open")
            }
            Some(libc::EAGAIN) => {
                Error::because("take its lease", "somebody has the file open for writing")
            }
            _ => Error::new("take its lease", e),
        })
    }

    /// It makes the process the owner of the description where that has none.
    fn apply(&self, context: Context<'_>, fd: FdNum, script: &mut Script<'_>) -> Result<()> {
        let number = Arg::Val(u64::from(fd.0));
        let lease = Arg::Val(kind(self) as u64);
        script.call(libc::SYS_fcntl, [number, Arg::Val(F_SETLEASE), lease]);
        let owner = context.tree.get::<Owner>(self.file);
        if !owner.is_some_and(|owner| context.tree.has_task(owner.id)) {
            script.call(libc::SYS_fcntl, [number, Arg::Val(F_SETOWN), Arg::Val(0)]);
        }
        Ok(())
    }
}
