//! The address space.

use crate::{
    open::object_id,
    resource::{Context, ForProcess},
    script::Script,
    segment,
};
use floe_parasite::Arg;
use floe_plan::Phase;
use floe_records::*;
use floe_sys::Result;

const MAP_GROWSDOWN: i32 = 0x100;
/// In the place of MAP_PRIVATE (Linux 6.11).
const MAP_DROPPABLE: i32 = 8;
/// madvise(2): MADV_RANDOM, MADV_SEQUENTIAL, MADV_HUGEPAGE and the like, by the flags that show them.
const ADVICE: [(&[u8; 2], u64); 8] = [
    (b"rr", 1),
    (b"sr", 2),
    (b"hg", 14),
    (b"nh", 15),
    (b"dc", 10),
    (b"wf", 18),
    (b"dd", 16),
    (b"mg", 12),
];
const MADV_GUARD_INSTALL: u64 = 102;
const MLOCK_ONFAULT: u64 = 1;

/// Protection while pages are filled in. What was once writable is accounted (`ac`), and must be so again;
/// what never was may not become it, or neighbours would merge.
fn fill_prot(vma: &Vma) -> u8 {
    if !vma.shared && vma.has(b"ac") { vma.prot | 3 } else { vma.prot }
}

impl ForProcess for Vmas {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, b: &mut Script<'_>) -> Result<()> {
        if phase == Phase::Map { map(context, pid, b) } else { protect(context, pid, b) }
    }
}

fn map(context: Context<'_>, pid: Pid, b: &mut Script<'_>) -> Result<()> {
    for vma in context.tree.vmas(pid) {
        let len = vma.end.0.saturating_sub(vma.start.0);
        match vma.kind {
            VmaKind::Vsyscall => continue,
            VmaKind::Vdso | VmaKind::Vvar => {
                let name = vma.name.as_ref().map_or("vdso".into(), ToString::to_string);
                let parked = context.stubs.parked.iter().find(|p| p.0 == name && p.2 == len);
                let Some(parked) = parked else {
                    return Err(floe_sys::Error::because(
                        format!("place {name}"),
                        "this kernel has none of that size",
                    )
                    .pid(pid.0));
                };
                b.call(libc::SYS_mremap, [parked.1, len, len, 3, vma.start.0].map(Arg::Val));
                continue;
            }
            VmaKind::Object => {
                if let Some(id) = object_id(vma).filter(|id| id.dev == SEGMENTS) {
                    segment::attach(context.tree, pid, vma, id, b)?;
                    advise(vma, b);
                    continue;
                }
            }
            _ => {}
        }
        let mut flags = libc::MAP_FIXED_NOREPLACE;
        flags |= match vma.shared {
            true => libc::MAP_SHARED,
            false if vma.has(b"dp") => MAP_DROPPABLE,
            false => libc::MAP_PRIVATE,
        };
        let fd = match vma.kind {
            VmaKind::Anon | VmaKind::Detached => {
                flags |= libc::MAP_ANONYMOUS;
                u64::MAX
            }
            _ => context.files.mapped(pid, vma)? as u64,
        };
        for (flag, bit) in [(b"gd", MAP_GROWSDOWN), (b"nr", libc::MAP_NORESERVE)] {
            if vma.has(flag) {
                flags |= bit;
            }
        }
        let prot = u64::from(fill_prot(vma));
        let args = [vma.start.0, len, prot, flags as u64, fd, vma.offset];
        b.call(libc::SYS_mmap, args.map(Arg::Val));
        advise(vma, b);
    }
    Ok(())
}

/// Advice of madvise(2) that a mapping keeps.
fn advise(vma: &Vma, b: &mut Script<'_>) {
    let len = vma.end.0.saturating_sub(vma.start.0);
    for (flag, advice) in ADVICE {
        if vma.has(flag) {
            b.call(libc::SYS_madvise, [vma.start.0, len, advice].map(Arg::Val));
        }
    }
}

/// Final protections and locks.
fn protect(context: Context<'_>, pid: Pid, b: &mut Script<'_>) -> Result<()> {
    for vma in context.tree.vmas(pid) {
        let len = vma.end.0.saturating_sub(vma.start.0);
        if matches!(vma.kind, VmaKind::Vdso | VmaKind::Vvar | VmaKind::Vsyscall) {
            continue;
        }
        if vma.prot != fill_prot(vma) {
            let args = [vma.start.0, len, u64::from(vma.prot)];
            b.call(libc::SYS_mprotect, args.map(Arg::Val));
        }
        for (start, end) in &vma.guards {
            let len = end.0.saturating_sub(start.0);
            b.call(libc::SYS_madvise, [start.0, len, MADV_GUARD_INSTALL].map(Arg::Val));
        }
        if vma.has(b"lo") {
            let on_fault = if vma.has(b"lf") { MLOCK_ONFAULT } else { 0 };
            let args = [vma.start.0, len, on_fault].map(Arg::Val);
            // Where nothing may be touched nothing can be brought in, which is told; it is locked all the same.
            if vma.prot == 0 {
                b.try_call(libc::SYS_mlock2, args);
            } else {
                b.call(libc::SYS_mlock2, args);
            }
        }
    }
    Ok(())
}
