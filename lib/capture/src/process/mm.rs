//! The numbers of an address space.

use crate::{Result, path, proc, resource::OfProcess, subject::Process};
use floe_parasite::{Batch, Call, Replies};
use floe_records::{Addr, FileRef, Finding, Findings, Mm, Pid};
use std::{fs::File, io::Read};

impl OfProcess for Mm {
    type Asked = Call;

    fn look(process: &Process<'_>, out: &mut Findings) -> Result<()> {
        let pid = Pid(process.pid);
        let mut ident = [0; 5];
        let program = File::open(proc::path(process.pid, "exe"));
        if program.and_then(|mut f| f.read_exact(&mut ident)).is_ok() && ident == *b"\x7fELF\x01" {
            let problem = "32-bit programs cannot be captured";
            out.refuse(Finding::of(pid, "the program", "mm.bits", problem));
        }
        let exe = path::link(process.pid, "exe")?;
        let same = |file: &FileRef| file.deleted && (file.dev, file.ino) == (exe.dev, exe.ino);
        let mut mapped = process.layout.vmas.iter().filter_map(|vma| vma.file.as_ref());
        if exe.deleted && !mapped.any(same) {
            let problem = "its file was removed, and it is not mapped";
            out.refuse(Finding::of(pid, "the program", "mm.exe", problem));
        }
        Ok(())
    }

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Call> {
        Ok(batch.call(libc::SYS_brk, [0.into()]))
    }

    fn take(process: &Process<'_>, brk: Call, replies: &Replies) -> Result<Vec<Self>> {
        let pid = process.pid;
        let addr = |n| Addr(process.stat.field(n) as u64);
        Ok(vec![Mm {
            pid: Pid(pid),
            exe: path::link(pid, "exe")?,
            code: (addr(26), addr(27)),
            data: (addr(45), addr(46)),
            brk: (addr(47), Addr(replies.value(brk)?)),
            stack: addr(28),
            args: (addr(48), addr(49)),
            env: (addr(50), addr(51)),
            auxv: proc::read(pid, "auxv")?.into(),
            vdso_hash: vdso_hash(process)?,
        }])
    }
}

fn vdso_hash(process: &Process<'_>) -> Result<u64> {
    let Some((start, end)) = process.vdso() else { return Ok(0) };
    let mut bytes = vec![0; (end.0 - start.0) as usize];
    floe_sys::read_memory(process.pid as i32, start.0, &mut bytes)?;
    Ok(xxhash_rust::xxh3::xxh3_64(&bytes))
}
