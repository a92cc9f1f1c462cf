//! Who gets SIGIO (fcntl(2), F_SETOWN_EX and F_SETSIG).

use crate::Work;
use floe_parasite::{Arg, Batch, Runner};
use floe_records::*;
use floe_sys::Result;

const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;

impl Work<'_> {
    /// Sets the owners of the files that this process is the first to have. Owners outside of the tree are not
    /// there any more.
    pub(crate) fn owners(&self, pid: Pid) -> Result<()> {
        for fd in self.tree.fds.get(&pid).into_iter().flatten() {
            let file = self.tree.files.get(&fd.file);
            let Some((kind, id, signal)) = file.and_then(|file| file.owner) else { continue };
            if self.tree.holder(fd.file) != Some((pid, fd.fd)) {
                continue;
            }
            let mut b = Batch::new();
            let number = Arg::Val(u64::from(fd.fd.0));
            if self.tree.has_task(id) {
                let owner = [kind.to_ne_bytes(), id.to_ne_bytes()].concat();
                let owner = b.bytes(&owner);
                b.call(libc::SYS_fcntl, [number, Arg::Val(F_SETOWN_EX), owner.into()]);
            }
            if signal != 0 {
                b.call(libc::SYS_fcntl, [number, Arg::Val(F_SETSIG), Arg::Val(signal as u64)]);
            }
            self.runner(pid.0 as i32).run(&b)?;
        }
        Ok(())
    }
}
