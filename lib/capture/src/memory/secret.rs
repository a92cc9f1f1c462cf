//! Content of memory that only its own processes can read (memfd_secret(2)): neither process_vm_readv(2) nor /proc/PID/mem reaches
//! it. So a process that maps it copies it, by process_vm_writev(2) to itself: the side that calls reads as a program does, and an
//! address that cannot be read is an error and no signal.

use crate::{Result, question, subject::Process, tree::Tree};
use floe_parasite::{Arg, Batch, Call, Slot};
use floe_records::{AnyRecord, ObjectData, ObjectId, Pid, Ranges, Vma, VmaKind};
use floe_sys::Error;
use std::collections::{BTreeMap, BTreeSet};

/// What the kernel calls such a file.
pub const SECRET: &[u8] = b"/secretmem";
/// Bytes of one call: what the smallest memory for answers has room for.
const PIECE: u64 = 8 << 10;

/// A piece of a file, where it is copied to, and the call that does.
type Asked = (ObjectId, u64, Slot, Call);

/// The content of all such memory in the records of a tree: what belongs behind them, with its bytes.
///
/// # Errors
/// What cannot be read.
pub fn secrets(tree: &Tree, records: &[AnyRecord]) -> Result<Vec<(ObjectData, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut known = BTreeSet::new();
    let vmas = secret(records);
    for held in tree.processes() {
        let Some(vmas) = vmas.get(&Pid(held.pid)) else { continue };
        let mut batch = Batch::new();
        let mut asked = Vec::new();
        let mut new = BTreeSet::new();
        for vma in vmas {
            let Some(id) = vma.object().filter(|id| !known.contains(id)) else { continue };
            new.insert(id);
            ask(held.pid, vma, id, &mut batch, &mut asked)?;
        }
        known.append(&mut new);
        if asked.is_empty() {
            continue;
        }
        let process = Process::read(held.pid, held.stat.clone(), &held.threads, true)?;
        let replies = question::run(&process, &[batch])?;
        for (id, offset, slot, call) in asked {
            let bytes = replies[0].bytes(slot);
            if replies[0].value(call)? != bytes.len() as u64 {
                let what = "copy what memfd_secret holds";
                return Err(Error::because(what, "not all of it can be read").pid(held.pid).into());
            }
            if bytes.iter().any(|byte| *byte != 0) {
                let mut ranges = Ranges::default();
                let bad = |e: floe_records::BadRange| Error::because("describe it", e.to_string());
                ranges.push(offset, bytes.len() as u32).map_err(bad)?;
                all.push((ObjectData { id, ranges }, bytes.to_vec()));
            }
        }
    }
    Ok(all)
}

/// All mappings of such memory, by process.
fn secret(records: &[AnyRecord]) -> BTreeMap<Pid, Vec<&Vma>> {
    let mut all: BTreeMap<Pid, Vec<&Vma>> = BTreeMap::new();
    for record in records {
        let AnyRecord::Vmas(some) = record else { continue };
        for vma in some.vmas.iter().filter(|vma| is_secret(vma)) {
            all.entry(some.pid).or_default().push(vma);
        }
    }
    all
}

/// Whether a mapping is of such memory.
pub(crate) fn is_secret(vma: &Vma) -> bool {
    vma.kind == VmaKind::Object && vma.file.as_ref().is_some_and(|file| file.path.0 == SECRET)
}

/// Bytes of the file behind a mapping.
pub(crate) fn size(pid: u32, vma: &Vma) -> Result<u64> {
    let path = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    let fail = |e| Error::new(format!("look at {}", path.display()), e).pid(pid);
    Ok(path.metadata().map_err(fail)?.len())
}

fn ask(pid: u32, vma: &Vma, id: ObjectId, batch: &mut Batch, asked: &mut Vec<Asked>) -> Result<()> {
    let own = batch.call(libc::SYS_getpid, []);
    let end = size(pid, vma)?.min(vma.offset + vma.end.0 - vma.start.0);
    for offset in (vma.offset..end).step_by(PIECE as usize) {
        let len = PIECE.min(end - offset);
        let slot = batch.zeroed(len as usize);
        let from = batch.struct_of(&[vma.start.0 + offset - vma.offset, len]);
        let to = batch.struct_of(&[0, len]);
        batch.pointer(to, 0, slot);
        let (one, none) = (Arg::Val(1), Arg::Val(0));
        let args = [own.into(), from.into(), one, to.into(), one, none];
        asked.push((id, offset, slot, batch.call(libc::SYS_process_vm_writev, args)));
    }
    Ok(())
}
