//! The namespaces of a process.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_proc::unable;
use floe_records::{Namespaces, NsId, Pid};
use std::io;

impl OfProcess for Namespaces {
    type Asked = ();

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        let ns = |name: &str| -> Result<NsId> {
            let none = || unable(pid, &format!("ns/{name}"), io::ErrorKind::NotFound);
            Ok(NsId(process.namespace(name).ok_or_else(none)?))
        };
        Ok(vec![Namespaces {
            pid: Pid(pid),
            cgroup: ns("cgroup")?,
            ipc: ns("ipc")?,
            mnt: ns("mnt")?,
            net: ns("net")?,
            pid_ns: ns("pid")?,
            // Which of those without a number are taken is a matter of `rule/spaces.rs`.
            pid_for_children: process
                .namespace("pid_for_children")
                .map_or(Namespaces::AWAITED, NsId),
            time: ns("time")?,
            time_for_children: ns("time_for_children")?,
            user: ns("user")?,
            uts: ns("uts")?,
        }])
    }
}
