//! Mount namespaces of the tree that are not the one of freeze.

use crate::{
    Result,
    mount_trees::{Own, Space, describe},
    origin,
    subject::Process,
};
use floe_records::{Finding, Findings, NsId, NsKind, Pid};
use std::collections::BTreeMap;

/// Those that processes were found in.
#[derive(Default)]
pub(crate) struct MountSpaces(BTreeMap<NsId, Pid>);

impl MountSpaces {
    /// That of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        if let Some(id) = process.namespace("mnt") {
            self.0.entry(NsId(id)).or_insert(Pid(process.pid));
        }
    }

    /// Finds what of them could not be mounted again.
    pub fn check(&self, out: &mut Findings) -> Result<()> {
        let ours = origin::all()?.get(&NsKind::Mnt).copied();
        let others = self.0.iter().filter(|(id, _)| Some(id.0) != ours);
        let mut own = None;
        for (id, pid) in others {
            let space = match Space::of(*pid) {
                Ok(space) => space,
                Err(error) if floe_proc::is_dead(pid.0)? => {
                    drop(error);
                    continue;
                }
                Err(error) => {
                    let problem = format!("it cannot be looked at: {error}");
                    let finding = Finding::of(*pid, "mnt namespace", "namespace.mnt", problem);
                    let hint = "run freeze with CAP_SYS_ADMIN and CAP_SYS_CHROOT, or inside of it (nsenter -m)";
                    out.refuse(finding.hint(hint));
                    continue;
                }
            };
            let own = match &own {
                Some(own) => own,
                None => own.insert(Own::read()?),
            };
            describe(*id, &space, own, out);
        }
        Ok(())
    }
}
