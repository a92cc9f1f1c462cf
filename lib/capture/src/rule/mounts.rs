//! Mount namespaces of the tree that are not the one of freeze.

use crate::{
    Result,
    files::Files,
    mount_trees::{Own, Space, describe},
    origin,
    subject::Process,
};
use floe_records::{
    AnyRecord, FileRef, Finding, Findings, Inotify, InotifyWatch, NsId, NsKind, Pid, Reference,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
};

/// The rule of all findings.
const RULE: &str = "namespace.mnt";
/// Of what lies there: it is mounted when the processes are there.
const OF_PIDS: &str = "it is in a proc file system of a pid namespace below that of the tree";
/// What reading a file or directory tells those who watch it.
const READ: u32 = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;

/// Those that processes were found in.
#[derive(Default, Debug)]
pub(crate) struct MountSpaces {
    members: BTreeMap<NsId, Pid>,
    /// Devices of file systems whose files travel.
    carried: BTreeSet<u64>,
    /// Devices of those that show pid namespaces below that of the tree.
    procs: BTreeSet<u64>,
    /// Working directories and roots.
    places: Vec<(Pid, FileRef)>,
}

impl MountSpaces {
    /// That of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        if let Some(id) = process.namespace("mnt") {
            let pid = Pid(process.pid);
            self.members.entry(NsId(id)).or_insert(pid);
            let places = [&process.cwd, &process.root].map(|place| (pid, place.clone()));
            self.places.extend(places);
        }
    }

    /// Finds mounts in them that could not be mounted again.
    pub fn check(&mut self, pids: &BTreeSet<NsId>, out: &mut Findings) -> Result<()> {
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
            let (tree, procs) = describe(*id, &space, (own, pids), out);
            self.procs.extend(procs.iter().map(|it| it.dev));
            let carried = tree.systems.iter().filter(|system| system.carried);
            self.carried.extend(carried.map(|system| system.dev));
        }
        for (pid, place) in self.places.iter().filter(|it| self.procs.contains(&it.1.dev)) {
            out.refuse(Finding::of(*pid, format!("{}", place.path), RULE, OF_PIDS));
        }
        Ok(())
    }

    /// Finds what is open in file systems that show pid namespaces below that of the tree.
    fn look_for_procs(&self, files: &Files, out: &mut Findings) {
        let mut refuse = |pid, object: String| {
            out.refuse(Finding::of(pid, object, RULE, OF_PIDS));
        };
        for (open, what) in &files.all {
            what.clone().references(&mut |it| {
                if let Reference::File(_, _, name) = it
                    && self.procs.contains(&name.dev)
                {
                    refuse(open.pid, format!("{}", name.path));
                }
            });
        }
        for (table, fd) in files.tables.iter().flat_map(|it| it.fds.iter().map(move |fd| (it, fd)))
        {
            let of_process = |(_, what): &(_, AnyRecord)| matches!(what, AnyRecord::ProcFile(_));
            if !files.all.get(fd.file.0 as usize).is_some_and(of_process) {
                continue;
            }
            // One that is closed meanwhile is none of the tree.
            let stat = floe_proc::fd_path(table.pid.0, fd.fd.0).metadata();
            if stat.is_ok_and(|stat| self.procs.contains(&stat.dev())) {
                refuse(table.pid, format!("fd {}", fd.fd));
            }
        }
    }

    /// Finds who would notice that files are read which travel.
    pub fn look(&self, files: &Files, out: &mut Findings) {
        if !self.procs.is_empty() {
            self.look_for_procs(files, out);
        }
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
