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
        let four = |key: &str| {
            let mut ids = [0; 4];
            ids.iter_mut().zip(status.numbers(key)).for_each(|(id, n)| *id = n);
            ids
        };
        Ok(Creds {
            pid: Pid(thread.pid),
            tid: Tid(thread.tid),
            uids: four("Uid"),
            gids: four("Gid"),
            groups: status.numbers("Groups"),
            caps: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|key| status.hex(key)),
            securebits: replies.value(securebits)? as u32,
            no_new_privs: status.get("NoNewPrivs") == "1",
        })
    }
}
