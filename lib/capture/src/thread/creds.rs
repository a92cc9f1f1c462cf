//! Credentials from /proc/TID/status.

use crate::{Result, process::settings::prctl, resource::OfThread, subject::Thread};
use floe_parasite::{Batch, Call, Replies};
use floe_records::{Creds, Pid, Tid};

impl OfThread for Creds {
    /// PR_GET_SECUREBITS.
    type Asked = Call;

    fn ask(_: &Thread<'_>, batch: &mut Batch) -> Call {
        prctl(batch, libc::PR_GET_SECUREBITS)
    }

    fn take(thread: &Thread<'_>, securebits: Call, replies: &Replies) -> Result<Self> {
        let status = &thread.status;
        let mut caps = [0; 5];
        for (set, key) in caps.iter_mut().zip(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
            *set = status.hex(key)?;
        }
        Ok(Creds {
            pid: Pid(thread.pid),
            tid: Tid(thread.tid),
            uids: status.ids("Uid")?,
            gids: status.ids("Gid")?,
            groups: status.numbers("Groups")?,
            caps,
            securebits: replies.value(securebits)? as u32,
            no_new_privs: status.get("NoNewPrivs")? == "1",
        })
    }
}
