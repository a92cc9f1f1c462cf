//! Mount namespaces of the tree that are not the one of freeze.

use crate::{
    Result,
    files::Files,
    mount_trees::{Own, Space, describe},
    origin,
    subject::Process,
};
use floe_records::{AnyRecord, Finding, Findings, Inotify, InotifyWatch, NsId, NsKind, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// The rule of all findings.
const RULE: &str = "namespace.mnt";
/// What reading a file or directory tells those who watch it.
const READ: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;

/// Those that processes were found in.
#[derive(Default, Debug)]
pub(crate) struct MountSpaces {
    members: BTreeMap<NsId, Pid>,
    /// Devices of file systems whose files travel.
    carried: BTreeSet<u64>,
}

impl MountSpaces {
    /// That of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        if let Some(id) = process.namespace("mnt") {
            self.members.entry(NsId(id)).or_insert(Pid(process.pid));
        }
    }

    /// Finds mounts in them that could not be mounted again.
    pub fn check(&mut self, out: &mut Findings) -> Result<()> {
        let ours = origin::namespace(NsKind::Mnt)?;
        let others = self.members.iter().filter(|(id, _)| Some(id.0) != ours);
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
                    let finding = Finding::of(*pid, "mnt namespace", RULE, problem);
                    let hint = "run freeze with CAP_SYS_ADMIN and CAP_SYS_CHROOT, or inside of it (nsenter -m)";
                    out.refuse(finding.hint(hint));
                    continue;
                }
            };
            let own = match &own {
                Some(own) => own,
                None => own.insert(Own::read()?),
            };
            let tree = describe(*id, &space, own, out);
            let carried = tree.systems.iter().filter(|system| system.carried);
            self.carried.extend(carried.map(|system| system.dev));
        }
        Ok(())
    }

    /// Finds who would notice that files are read which travel.
    pub fn look(&self, files: &Files, out: &mut Findings) {
        for (_, what) in files.of::<Inotify>() {
            let AnyRecord::Inotify(it) = what else { continue };
            let hears = |watch: &&InotifyWatch| {
                watch.mask & READ != 0 && self.carried.contains(&watch.name.dev)
            };
            for watch in it.watches.iter().filter(hears) {
                let problem = "it hears of what is read for the checkpoint";
                let object = format!("watch of {}", watch.name.path);
                out.lose(Finding::of(it.pid, object, RULE, problem));
            }
        }
        for it in &files.properties {
            let AnyRecord::Lease(lease) = it else { continue };
            let Some((open, AnyRecord::Regular(regular))) = files.all.get(lease.file.0 as usize)
            else {
                continue;
            };
            if self.carried.contains(&regular.name.dev) {
                let problem = "it has a lease, which is broken when the file is read";
                out.refuse(Finding::of(open.pid, format!("{}", regular.name.path), RULE, problem));
            }
        }
    }
}
