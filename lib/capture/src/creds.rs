//! Credentials from /proc/TID/status.

use crate::{ask::ThreadAnswers, proc::Status};
use floe_records::{Creds, Pid, Tid};
use floe_sys::Result;

pub(crate) fn creds(pid: u32, tid: u32, answers: &ThreadAnswers) -> Result<Creds> {
    let status = Status::of(tid)?;
    let four = |key: &str| {
        let mut ids = [0; 4];
        ids.iter_mut().zip(status.numbers(key)).for_each(|(id, n)| *id = n);
        ids
    };
    Ok(Creds {
        pid: Pid(pid),
        tid: Tid(tid),
        uids: four("Uid"),
        gids: four("Gid"),
        groups: status.numbers("Groups"),
        caps: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|key| status.hex(key)),
        securebits: answers.securebits,
        no_new_privs: status.get("NoNewPrivs") == "1",
    })
}
