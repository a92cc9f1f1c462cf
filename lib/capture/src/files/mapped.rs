//! Files behind mappings, as they must be found again.

use crate::Result;
use floe_records::{Bytes, FileRef, MappedFile, Pid, Vma, VmaKind};
use floe_sys::Error;
use goblin::elf::Elf;
use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// NT_GNU_BUILD_ID notes stand near the start of a file.
const HEAD: u64 = 64 << 10;

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
    let path = format!("/proc/{pid}/map_files/{:x}-{:x}", vma.start.0, vma.end.0);
    let fail = |e| Error::new(format!("read {path}"), e).pid(pid);
    let open = File::open(&path).map_err(fail)?;
    let stat = open.metadata().map_err(fail)?;
    let mut head = Vec::new();
    open.take(HEAD).read_to_end(&mut head).map_err(fail)?;
    Ok(MappedFile {
        file: file.clone(),
        size: stat.size(),
        mtime_ns: stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        build_id: build_id(&head),
    })
}

/// The build id of an ELF file, from its program headers and notes.
pub fn build_id(head: &[u8]) -> Option<Bytes> {
    let header = Elf::parse_header(head).ok()?;
    let mut elf = Elf::lazy_parse(header).ok()?;
    let context =
        goblin::container::Ctx::new(elf.header.container().ok()?, elf.header.endianness().ok()?);
    let (at, count) = (elf.header.e_phoff as usize, elf.header.e_phnum as usize);
    elf.program_headers = goblin::elf::ProgramHeader::parse(head, at, count, context).ok()?;
    let mut notes = elf.iter_note_headers(head)?.flatten();
    notes.find(|note| note.name == "GNU" && note.n_type == 3).map(|note| note.desc.into())
}
