//! Segments of System V shared memory (shmget(2)).
//!
//! A segment lives on without processes, unless it was marked for removal: after a checkpoint that kills it is still there. It
//! is taken as it is, and gets its content of the checkpoint, if nobody has used it since. One that is gone is made again
//! under its identifier and key, by a process with the pid and the ids of its maker.
//!
//! Its file takes the content, but what maps that file is no attachment: processes attach the segment (shmat(2)), each
//! mapping for itself, and move the part that they have of it into place.

use crate::{factory::Factory, script::Script};
use floe_parasite::Arg;
use floe_records::*;
use floe_sys::{Error, NewSegment, Result};
use std::{ops::Range, os::fd::OwnedFd};

/// SHM_RDONLY of shmat(2).
const READ_ONLY: u64 = 0o10000;
/// SHM_HUGETLB of shmget(2).
const SHM_HUGETLB: u32 = 0o4000;
/// MREMAP_MAYMOVE | MREMAP_FIXED.
const MOVE: u64 = 3;

/// A segment that this restore has made; dropped, it is removed.
pub(crate) struct Made(u32);

impl Made {
    /// The restore has succeeded.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // It may be marked for removal already, and gone with its last mapping.
        let _ = floe_sys::remove_segment(self.0);
    }
}

/// Makes or finds one; gives the file of its content.
pub(crate) fn make(object: &Object, kept: &Segment, make: &mut Factory<'_>) -> Result<OwnedFd> {
    let (id, dev, tree) = (object.id.ino as u32, object.id.dev, make.tree);
    // What is made in a namespace that restore has made goes with that.
    let (below, mut made) = (make.stands.is_other_ipc(dev), None);
    let opened = make.stands.in_ipc(dev, || {
        match floe_proc::segments()?.into_iter().find(|there| there.id == id) {
            Some(there) => same(tree, object, kept, &there)?,
            None => {
                let exact = anew(object, kept)?;
                let undone = (!below).then(|| Made(id));
                floe_sys::own_segment(id, object.uid, object.gid, object.mode)?;
                made = Some((exact, undone));
            }
        }
        floe_sys::open_segment(id, object.size, object.page_size())
    })?;
    if let Some((exact, undone)) = made {
        make.segments.extend(undone);
        if !exact {
            let maker = kept.pids[0];
            let what = format!("segment {id}: process {maker}, which made it, is another one now");
            make.notes.push(what);
        }
    }
    Ok(opened)
}

/// Makes one. Whether its maker had the pid that it is to show.
fn anew(object: &Object, kept: &Segment) -> Result<bool> {
    let new = NewSegment {
        key: kept.key,
        id: object.id.ino as u32,
        size: object.size,
        mode: object.mode,
        huge: object.huge.map_or(0, |huge| SHM_HUGETLB | huge.flags()),
        creator: kept.creator,
        pid: kept.pids[0].0 as i32,
    };
    match floe_sys::make_segment(&new) {
        // Once it is marked for removal nobody finds it by its key: only its name in /proc/PID/maps tells it.
        Err(e) if kept.removed && e.errno() == Some(libc::EEXIST) => {
            floe_sys::make_segment(&NewSegment { key: 0, ..new })
        }
        made => made,
    }
}

/// Whether a segment is the one of the checkpoint, and nobody has used it since.
fn same(tree: &Tree, object: &Object, kept: &Segment, there: &floe_proc::Segment) -> Result<()> {
    let id = there.id;
    let no = |why: String| {
        let doing = format!("take the segment {id} of shared memory that is there");
        Err(Error::because(doing, format!("{why}; `ipcrm -m {id}` removes it")))
    };
    if there.attached != 0 {
        return no(format!("{} mappings of it are there", there.attached));
    }
    let key = !kept.removed && there.key == kept.key;
    let is = (there.size, there.owner, there.creator, there.pids[0]);
    if !key || is != (object.size, [object.uid, object.gid], kept.creator, kept.pids[0].0 as i32) {
        return no("it is another one than the tree had".to_owned());
    }
    let last = Pid(there.pids[1] as u32);
    if last != kept.pids[1] && tree.get::<Process>(last).is_none() {
        return no(format!("process {last} has used it since the checkpoint"));
    }
    Ok(())
}

/// It is attached wherever it was, and has its content.
pub(crate) fn finish(object: &Object, kept: &Segment) -> Result<()> {
    let id = object.id.ino as u32;
    if kept.locked {
        floe_sys::lock_segment(id)?;
    }
    if kept.removed { floe_sys::remove_segment(id) } else { Ok(()) }
}

/// Attaches a segment and moves what a process has of it into place, at the first of the mappings that are left of it: only
/// of one attachment does shmdt(2) know that they belong together.
pub(crate) fn attach(
    tree: &Tree,
    pid: Pid,
    first: &Vma,
    id: ObjectId,
    b: &mut Script<'_>,
) -> Result<()> {
    let attachment = |vma: &Vma| {
        let base = vma.start.0.wrapping_sub(vma.offset);
        (vma.object(), base, vma.has(b"mw"))
    };
    let parts = tree.vmas(pid).filter(|vma| attachment(vma) == attachment(first));
    let mut parts = parts.peekable();
    if parts.peek().is_none_or(|vma| vma.start != first.start) {
        return Ok(());
    }
    let gone = || Error::because("attach it", "it is not in the stream");
    let object = tree.get::<Object>(id).ok_or_else(gone)?;
    let size = object.size.next_multiple_of(object.page_size());
    let how = if first.has(b"mw") { 0 } else { READ_ONLY };
    let at = b.one(libc::SYS_shmat, [id.ino, 0, how].map(Arg::Val))?;
    let mut left = 0;
    for vma in parts {
        let len = vma.end.0.saturating_sub(vma.start.0);
        let end = vma.offset.checked_add(len).filter(|end| *end <= size);
        let end = end.ok_or_else(|| Error::because("attach it", "it is shorter than a mapping"))?;
        b.call(libc::SYS_mprotect, [at + vma.offset, len, u64::from(vma.prot)].map(Arg::Val));
        let moved = [at + vma.offset, len, len, MOVE, vma.start.0];
        b.call(libc::SYS_mremap, moved.map(Arg::Val));
        unmap(at, left..vma.offset, b);
        left = end;
    }
    unmap(at, left..size, b);
    Ok(())
}

/// Unmaps what a process has not of an attachment.
fn unmap(at: u64, part: Range<u64>, b: &mut Script<'_>) {
    if !part.is_empty() {
        b.call(libc::SYS_munmap, [at + part.start, part.end - part.start].map(Arg::Val));
    }
}
