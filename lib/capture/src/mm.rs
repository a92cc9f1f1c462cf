//! The numbers of an address space.

use crate::{
    fs,
    proc::{self, Stat},
};
use floe_records::{Addr, Mm, Pid, Vma, VmaKind};
use floe_sys::Result;

pub(crate) fn mm(pid: u32, brk: u64, vmas: &[Vma]) -> Result<Mm> {
    let stat = Stat::of(pid)?;
    let addr = |n| Addr(stat.field(n) as u64);
    Ok(Mm {
        pid: Pid(pid),
        exe: fs::link(pid, "exe")?,
        code: (addr(26), addr(27)),
        data: (addr(45), addr(46)),
        brk: (addr(47), Addr(brk)),
        stack: addr(28),
        args: (addr(48), addr(49)),
        env: (addr(50), addr(51)),
        auxv: proc::read(pid, "auxv")?.into(),
        vdso_hash: vdso_hash(pid, vmas)?,
    })
}

fn vdso_hash(pid: u32, vmas: &[Vma]) -> Result<u64> {
    let Some(vdso) = vmas.iter().find(|v| v.kind == VmaKind::Vdso) else { return Ok(0) };
    let mut bytes = vec![0; (vdso.end.0 - vdso.start.0) as usize];
    floe_sys::read_memory(pid as i32, vdso.start.0, &mut bytes)?;
    Ok(xxhash_rust::xxh3::xxh3_64(&bytes))
}
