//! Files behind mappings, as they must be found again.

use crate::Result;
use floe_records::{Bytes, FileRef, MappedFile, Pid, Vma, VmaKind};
use floe_sys::Error;
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// Describes each mapped file once.
pub fn mapped_files<'a>(vmas: impl Iterator<Item = (Pid, &'a Vma)>) -> Result<Vec<MappedFile>> {
    let mut known: BTreeMap<(u64, u64, Bytes), MappedFile> = BTreeMap::new();
    for (pid, vma) in vmas.filter(|(_, vma)| vma.kind == VmaKind::File) {
        let Some(file) = &vma.file else { continue };
        let key = (file.dev, file.ino, file.path.clone());
        if let Entry::Vacant(place) = known.entry(key) {
            place.insert(describe(pid.0, vma, file)?);
        }
    }
    Ok(known.into_values().collect())
}

fn describe(pid: u32, vma: &Vma, file: &FileRef) -> Result<MappedFile> {
    let path = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    let fail = |e| Error::new(format!("read {}", path.display()), e).pid(pid);
    let open = File::open(&path).map_err(fail)?;
    let stat = open.metadata().map_err(fail)?;
    let mut head = Vec::new();
    open.take(floe_elf::HEAD).read_to_end(&mut head).map_err(fail)?;
    Ok(MappedFile {
        pid: Pid(pid),
        file: file.clone(),
        size: stat.size(),
        mtime_ns: stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        build_id: floe_elf::build_id(&head).map(Bytes),
    })
}
