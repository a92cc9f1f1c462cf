//! The namespaces of a process.

use crate::{
    Result,
    resource::OfProcess,
    subject::{NAMESPACES, Process},
};
use floe_parasite::{Batch, Replies};
use floe_proc::{namespaces_of, unable};
use floe_records::{Finding, Findings, Namespaces, NsId, Pid};
use std::io;

/// The first of them, which must be those of freeze: only mount namespaces, the last, are made again.
const OWN: usize = 9;

impl OfProcess for Namespaces {
    type Asked = ();

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let ours = namespaces_of(std::process::id(), NAMESPACES)?;
        // Of time namespaces a rule of its own knows more.
        for at in (0..OWN).filter(|at| !NAMESPACES[*at].starts_with("time")) {
            let theirs = process.namespaces[at];
            // The pid namespace of its children has no name before the first of them is there.
            let nameless = theirs.is_none() && process.namespace("mnt").is_some();
            if nameless || theirs.is_some_and(|theirs| Some(theirs) != ours[at]) {
                let object = format!("{} namespace", NAMESPACES[at]);
                let problem = "it is not the one of freeze";
                let finding = Finding::of(Pid(process.pid), object, "namespace", problem);
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
            pid_for_children: ns("pid_for_children")?,
            time: ns("time")?,
            time_for_children: ns("time_for_children")?,
            user: ns("user")?,
            uts: ns("uts")?,
        }])
    }
}
