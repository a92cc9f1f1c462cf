//! The namespaces of a process.

use crate::{Result, resource::OfProcess, subject::{Process, unless_gone}};
use floe_parasite::{Batch, Replies};
use floe_proc::namespace;
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
            let theirs = unless_gone(namespace(process.pid, name))?;
            if theirs.is_some() && theirs != namespace(std::process::id(), name)? {
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
            let none = || floe_proc::unable(pid, &format!("ns/{name}"), io::ErrorKind::NotFound);
            Ok(NsId(namespace(pid, name)?.ok_or_else(none)?))
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
