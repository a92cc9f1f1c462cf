//! `fixture-vdso < stream > stream`: has a tree come from a kernel with another vdso, whose code ends those that run it.
#![forbid(unsafe_code)]

use floe_records::{Mm, Vdso};
use floe_stream::RawRecord;
use floe_toolkit::Stage;
use std::process::ExitCode;

/// What no vdso has as its hash.
const OTHER: u64 = 1;
/// `int3`.
const TRAP: u8 = 0xcc;

struct Foreign;

impl Stage for Foreign {
    fn rewrite(&mut self, raw: RawRecord) -> anyhow::Result<Option<RawRecord>> {
        if raw.is::<Mm>() {
            let mut mm: Mm = raw.decode()?;
            mm.vdso_hash = if mm.vdso_hash == 0 { 0 } else { OTHER };
            return Ok(Some(RawRecord::encode(&mm)?));
        }
        if raw.is::<Vdso>() {
            let mut vdso: Vdso = raw.decode()?;
            vdso.hash = OTHER;
            let functions = floe_elf::functions(&vdso.code.0).unwrap_or_default();
            anyhow::ensure!(!functions.is_empty(), "the vdso has no functions");
            for function in functions {
                let end = (function.at + function.size) as usize;
                vdso.code.0[function.at as usize..end].fill(TRAP);
            }
            return Ok(Some(RawRecord::encode(&vdso)?));
        }
        Ok(Some(raw))
    }
}

fn main() -> ExitCode {
    floe_toolkit::main("fixture-vdso", || floe_toolkit::filter("fixture-vdso", &mut Foreign))
}
