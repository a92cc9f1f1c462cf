//! The namespaces of a process.

use crate::{Result, proc, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Replies};
use floe_records::{Finding, Findings, Namespaces, NsId, Pid};
use std::io;

/// Namespaces that must be those of freeze: they are not recreated yet.
const OWN: [&str; 8] =
    ["pid", "pid_for_children", "user", "time", "time_for_children", "net", "ipc", "uts"];

impl OfProcess for Namespaces {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        for name in OWN {
            // A process that is just ending has none any more.
            let theirs = inode(process.pid, name);
            if theirs.is_some() && theirs != inode(std::process::id(), name) {
                let object = format!("{name} namespace");
                let finding = Finding::of(
                    Pid(process.pid),
                    object,
                    "namespace",
                    "it is not the one of freeze",
                );
                out.refuse(finding.hint("run freeze inside that namespace (nsenter)"));
            }
        }
        Ok(())
    }

    fn ask(_: &Process<'_>, _: &mut Batch) -> Result<()> {
        Ok(())
    }

    fn take(process: &Process<'_>, (): (), _: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        let ns = |name: &str| -> Result<NsId> {
            let none =
                || proc::unable(pid, &format!("ns/{name}"), io::Error::other("unknown form"));
            Ok(NsId(inode(pid, name).ok_or_else(none)?))
        };
        Ok(vec![Namespaces {
            pid: Pid(pid),
            cgroup: ns("cgroup")?,
            ipc: ns("ipc")?,
            mnt: ns("mnt")?,
            net: ns("net")?,
            pid_ns: ns("pid")?,
            pid_for_children: ns("pid_for_children")?,
            time: ns("time")?,
            time_for_children: ns("time_for_children")?,
            user: ns("user")?,
            uts: ns("uts")?,
        }])
    }
}

/// Inode number of a namespace of a process or thread.
pub(crate) fn inode(pid: u32, name: &str) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}
