//! What tells two builds of an ELF file apart, and which functions it offers.
#![forbid(unsafe_code)]

use goblin::elf::{Elf, ProgramHeader};

/// How much of a file is enough: notes stand near its start. Bytes.
pub const HEAD: u64 = 64 << 10;
const NT_GNU_BUILD_ID: u32 = 3;

/// A function that an ELF file offers to others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its address, where the file is mapped from 0 on.
    pub at: u64,
    /// Bytes.
    pub size: u64,
}

/// The functions of its dynamic symbols; `image` is all of the file. `None` for one that is damaged.
pub fn functions(image: &[u8]) -> Option<Vec<Function>> {
    let elf = Elf::parse(image).ok()?;
    let functions = elf.dynsyms.iter().filter(|it| it.is_function() && it.st_value != 0);
    let named = functions.map(|it| {
        let name = elf.dynstrtab.get_at(it.st_name)?.to_owned();
        Some(Function { name, at: it.st_value, size: it.st_size })
    });
    named.collect()
}

/// The build id of an ELF file, from its program headers and notes; `head` is its first [`HEAD`] bytes.
pub fn build_id(head: &[u8]) -> Option<Vec<u8>> {
    let header = Elf::parse_header(head).ok()?;
    let mut elf = Elf::lazy_parse(header).ok()?;
    let context =
        goblin::container::Ctx::new(elf.header.container().ok()?, elf.header.endianness().ok()?);
    let (at, count) = (elf.header.e_phoff as usize, elf.header.e_phnum as usize);
    elf.program_headers = ProgramHeader::parse(head, at, count, context).ok()?;
    let mut notes = elf.iter_note_headers(head)?.flatten();
    let note = notes.find(|note| note.name == "GNU" && note.n_type == NT_GNU_BUILD_ID)?;
    Some(note.desc.to_vec())
}
