//! Builds the payload for the host and checks that it can lie anywhere: no relocations, nothing undefined,
//! nothing written. What remains is one flat image.

use goblin::elf::{
    Elf,
    program_header::{PT_LOAD, ProgramHeader},
};
use std::{env, fs, path::Path, process::Command};

/// The payload may not grow beyond this.
const LIMIT: usize = 16 << 10;

fn main() {
    println!("cargo::rerun-if-changed=payload/src/main.rs");
    println!("cargo::rerun-if-changed=src/abi.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("OUT_DIR");
    let elf = Path::new(&out).join("payload.elf");
    compile(&elf);
    let bytes = fs::read(&elf).expect("payload");
    let (image, entry) = flatten(&bytes);
    fs::write(Path::new(&out).join("payload.bin"), image).expect("write the image");
    let constant = format!("const ENTRY_POINT: u64 = {entry:#x};\n");
    fs::write(Path::new(&out).join("payload.rs"), constant).expect("write the entry point");
}

/// In its own compiler run, so that neither profile nor flags of the host side reach it.
fn compile(elf: &Path) {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-name", "floe_payload", "--crate-type", "bin"]);
    command.args(["--target", &env::var("TARGET").expect("TARGET")]);
    for option in ["panic=abort", "opt-level=z", "relocation-model=pic", "lto=fat", "strip=symbols"]
    {
        command.args(["-C", option]);
    }
    command.args(["-C", "target-feature=+crt-static"]);
    for option in ["-nostartfiles", "-nostdlib", "-static-pie"] {
        command.arg(format!("-Clink-arg={option}"));
    }
    for option in ["-e,floe_entry", "-z,noseparate-code", "--build-id=none", "--no-eh-frame-hdr"] {
        command.arg(format!("-Clink-arg=-Wl,{option}"));
    }
    let status = command.arg("-o").arg(elf).arg("payload/src/main.rs").status().expect("run rustc");
    assert!(status.success(), "the payload does not build");
}

/// The loaded image from address 0 on, and the entry point.
fn flatten(bytes: &[u8]) -> (Vec<u8>, u64) {
    let elf = Elf::parse(bytes).expect("an ELF file");
    let relocations =
        elf.dynrelas.iter().count() + elf.dynrels.iter().count() + elf.pltrelocs.len();
    assert_eq!(relocations, 0, "the payload has relocations");
    assert!(elf.dynsyms.iter().all(|s| s.st_name == 0 || s.st_shndx != 0), "undefined symbols");
    for section in &elf.section_headers {
        let name = elf.shdr_strtab.get_at(section.sh_name).unwrap_or("");
        let written = [".data", ".bss", ".tdata", ".tbss", ".got", ".got.plt"].contains(&name);
        assert!(!written || section.sh_size == 0, "the payload has {name}");
    }
    let mut image = Vec::new();
    // What could be written is only for a dynamic linker, which never sees this image.
    let loaded = |p: &&ProgramHeader| p.p_type == PT_LOAD && !p.is_write();
    for segment in elf.program_headers.iter().filter(loaded) {
        let (at, from) = (segment.p_vaddr as usize, segment.p_offset as usize);
        let len = segment.p_filesz as usize;
        image.resize(image.len().max(at + segment.p_memsz as usize), 0);
        image[at..at + len].copy_from_slice(&bytes[from..from + len]);
    }
    assert!(image.len() <= LIMIT, "the payload has {} bytes", image.len());
    (image, elf.entry)
}
