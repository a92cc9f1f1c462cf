//! Mappings of io_uring instances that no process has open any more: what such an instance is does not show.

use crate::{files::Files, subject::Process};
use floe_records::{AnyRecord, Finding, Findings, ObjectId, Pid, VmaKind};
use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

/// Mapped instances, each with the first mapping of it, in words.
#[derive(Debug, Default)]
pub(crate) struct Rings(BTreeMap<ObjectId, (u32, String)>);

impl Rings {
    /// Notes those of a process.
    pub fn add(&mut self, process: &Process<'_>) {
        for vma in process.layout.vmas.iter().filter(|vma| vma.kind == VmaKind::Ring) {
            let range = format!("{:x}-{:x} anon_inode:[io_uring]", vma.start.0, vma.end.0);
            let Some(id) = vma.object() else { continue };
            self.0.entry(id).or_insert((process.pid, range));
        }
    }

    /// Compares them with what is open.
    pub fn check(&self, files: &Files, out: &mut Findings) {
        let is_open = |id: &ObjectId| {
            files.all.iter().any(|(_, what)| match what {
                AnyRecord::IoUring(ring) => ring.ring == *id,
                _ => false,
            })
        };
        // Of one that is refused enough has been said.
        let is_refused = |id: &ObjectId| {
            files.refused.iter().any(|(pid, fd)| {
                let found = floe_proc::fd_path(pid.0, fd.0).metadata();
                found.is_ok_and(|found| found.ino() == id.ino)
            })
        };
        for (id, (pid, range)) in &self.0 {
            if !is_open(id) && !is_refused(id) {
                let problem = "it is of an io_uring instance that no process of the tree has open";
                let finding = Finding::of(Pid(*pid), range.clone(), "mapping.uring", problem);
                out.refuse(finding.hint("have the program unmap it first"));
            }
        }
    }
}
