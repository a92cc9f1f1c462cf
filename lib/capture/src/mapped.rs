//! Files behind mappings, as they must be found again.

use crate::Result;
use floe_records::{Bytes, FileRef, MappedFile, Pid, Vma, VmaKind};
use floe_sys::{Error, open_unnoticed};
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Describes each mapped file once.
pub fn mapped_files<'a>(vmas: impl Iterator<Item = (Pid, &'a Vma)>) -> Result<Vec<MappedFile>> {
    let mut known: BTreeMap<(u64, u64, Bytes), MappedFile> = BTreeMap::new();
    let mut head = vec![0; floe_elf::HEAD as usize];
    for (pid, vma) in vmas.filter(|(_, vma)| vma.kind == VmaKind::File) {
        let Some(file) = &vma.file else { continue };
        let key = (file.dev, file.ino, file.path.clone());
        if let Entry::Vacant(place) = known.entry(key) {
            place.insert(describe(pid.0, vma, file, &mut head)?);
        }
    }
    Ok(known.into_values().collect())
}

fn describe(pid: u32, vma: &Vma, file: &FileRef, head: &mut [u8]) -> Result<MappedFile> {
    let path = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    let fail = |e| Error::new(format!("read {}", path.display()), e).pid(pid);
    let open = open_unnoticed(&path).map_err(|e| e.pid(pid))?;
    Ok(mapped_file(Pid(pid), file, &open, head).map_err(fail)?)
}

/// What tells a file from another one of its name; `head` takes its first bytes ([`floe_elf::HEAD`]).
///
/// # Errors
/// Those of stat(2) and pread(2).
pub fn mapped_file(
    pid: Pid,
    file: &FileRef,
    open: &File,
    head: &mut [u8],
) -> io::Result<MappedFile> {
    let stat = open.metadata()?;
    let len = fill(open, head)?;
    Ok(MappedFile {
        pid,
        file: file.clone(),
        size: stat.size(),
        mtime_ns: stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        build_id: floe_elf::build_id(&head[..len]).map(Bytes),
    })
}

/// Reads the beginning of a file; gives how much there is of it.
fn fill(file: &File, head: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < head.len() {
        match file.read_at(&mut head[len..], len as u64)? {
            0 => break,
            count => len += count,
        }
    }
    Ok(len)
}
