//! Leases, by the `lock:` lines of /proc/PID/fdinfo/FD.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    files::Files,
    resource::OfDescriptor,
};
use floe_proc::{Access, LeaseState, LockKind};
use floe_records::{AnyRecord, FdNum, FileId, Finding, Findings, Lease, Pid, Record, Regular};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

const RULE: &str = "descriptor.lease";

impl OfDescriptor for Lease {
    fn claims_lock(kind: &LockKind) -> bool {
        matches!(kind, LockKind::Lease(_))
    }

    /// One for each descriptor that it can be taken on again: the first, and those of the process that took it.
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        let unknown = |_| Problem::new(RULE, "a lease on it has an unknown form");
        let locks = seen.info.locks().map_err(unknown)?;
        let lease = locks.iter().find_map(|lock| match lock.kind {
            LockKind::Lease(state) => Some((state, lock)),
            _ => None,
        });
        let Some((state, lock)) = lease else { return Ok(Vec::new()) };
        if state != LeaseState::Active {
            let hint = "wait until it is broken or released";
            return Err(Problem::Refused(RULE, "its lease is being broken".into(), hint));
        }
        // What takes the place of such a file is still open for writing when leases are taken.
        if !seen.is_named() {
            return Err(Problem::new(RULE, "it has a lease, and its file was removed"));
        }
        let its_own = u32::try_from(lock.pid) == Ok(seen.pid);
        let exclusive = lock.access == Access::Write;
        let lease = Lease { file, pid: Pid(seen.pid), fd: FdNum(seen.fd), exclusive };
        Ok(if first || its_own { vec![lease] } else { Vec::new() })
    }

    /// Chooses among the descriptors. Behind the first one of a description, only those of the process that took the lease
    /// were noted.
    fn relate(files: &mut Files, out: &mut Findings) -> Result<()> {
        let mut all: BTreeMap<FileId, Vec<Lease>> = BTreeMap::new();
        for record in mem::take(&mut files.properties) {
            match record {
                AnyRecord::Lease(lease) => all.entry(lease.file).or_default().push(lease),
                other => files.properties.push(other),
            }
        }
        let mut leases = Vec::with_capacity(all.len());
        for some in all.into_values() {
            let holder = some.last().map(|lease| lease.pid);
            let mut own = some.into_iter().filter(|lease| Some(lease.pid) == holder);
            leases.extend(own.next());
            if let (Some(lease), Some(_)) = (leases.last(), own.next()) {
                let problem = "it shares its lease with others, and the signal of the lease's end \
                    will name this one";
                out.lose(finding(lease, problem));
            }
        }
        mapped(files, &leases, out)?;
        files.properties.extend(leases.into_iter().map(Record::any));
        Ok(())
    }
}

fn finding(lease: &Lease, problem: &str) -> Finding {
    Finding::of(lease.pid, format!("fd {}", lease.fd), RULE, problem)
}

/// Refuses exclusive leases on files that are mapped: for the mapping, restore opens the file a second time.
fn mapped(files: &Files, leases: &[Lease], out: &mut Findings) -> Result<()> {
    let mut exclusive = leases.iter().filter(|lease| lease.exclusive).peekable();
    if exclusive.peek().is_none() {
        return Ok(());
    }
    // By name too: some file systems show other numbers here than by stat(2).
    let (mut inodes, mut names) = (BTreeSet::new(), BTreeSet::new());
    for pid in &files.pids {
        match floe_proc::mappings(pid.0) {
            Ok(all) => {
                inodes.extend(all.iter().map(|map| (map.dev, map.ino)));
                names.extend(all.into_iter().map(|map| map.name));
            }
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
    for lease in exclusive {
        let (_, what) = &files.all[lease.file.0 as usize];
        if let AnyRecord::Regular(Regular { name, .. }) = what
            && (inodes.contains(&(name.dev, name.ino)) || names.contains(&name.path.0))
        {
            out.refuse(finding(lease, "it has an exclusive lease, and its file is mapped"));
        }
    }
    Ok(())
}
