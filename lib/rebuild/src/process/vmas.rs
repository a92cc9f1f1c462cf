//! The address space.

use crate::{
    keys::Keys,
    resource::{Context, ForProcess},
    rings,
    script::Script,
    segment,
};
use floe_parasite::{Arg, Slot};
use floe_plan::{Change, Phase};
use floe_records::*;
use floe_sys::Result;
use std::ops::Range;

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
/// Linux 6.1.
const MADV_COLLAPSE: u64 = 25;
const MLOCK_ONFAULT: u64 = 1;
const MADV_DONTNEED: u64 = 4;
/// Advice about huge pages, which counts when pages are filled in.
const HUGE: [(&[u8; 2], u64); 2] = [(b"hg", 14), (b"nh", 15)];

impl ForProcess for Vmas {
    fn apply(context: Context<'_>, pid: Pid, phase: Phase, b: &mut Script<'_>) -> Result<()> {
        if phase == Phase::Map { map(context, pid, b) } else { protect(context, pid, b) }
    }
}

fn map(context: Context<'_>, pid: Pid, b: &mut Script<'_>) -> Result<()> {
    make_all(context, context.inheritance.settled(pid), b)?;
    let keys = Keys::of(context.tree, pid);
    keys.allocate(b);
    let foreign = context.stubs.foreign_vdso(context.tree, pid);
    for vma in context.tree.vmas(pid) {
        let len = vma.end.0.saturating_sub(vma.start.0);
        match vma.kind {
            VmaKind::Vsyscall => continue,
            VmaKind::Aio => {
                // The kernel must not put a ring there before it is moved there.
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
                let args = [vma.start.0, len, 0, flags as u64, u64::MAX, 0];
                b.call(libc::SYS_mmap, args.map(Arg::Val));
                continue;
            }
            VmaKind::Ring => {
                rings::reserve(vma, b);
                continue;
            }
            VmaKind::Vdso | VmaKind::Vvar if foreign.is_some() => {
                foreign_vdso(context, pid, vma, foreign, b)?;
                continue;
            }
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
                if let Some(id) = vma.object().filter(|id| is_of_segments(id.dev)) {
                    segment::attach(context.tree, pid, vma, id, b)?;
                    advise(vma, b);
                    continue;
                }
            }
            _ => {}
        }
        if !context.inheritance.stays(pid, vma) {
            make(context, pid, vma, vma.start.0..vma.end.0, b)?;
        }
        advise(vma, b);
        name(vma, b);
        b.breathe()?;
    }
    rings::place(context, pid, b)
}

/// Puts a copy of the vdso of another kernel where it was, that of this kernel behind the hole, and nothing where that one had its data:
/// it does not look there any more.
fn foreign_vdso(
    context: Context<'_>,
    pid: Pid,
    vma: &Vma,
    was: Option<&Vdso>,
    b: &mut Script<'_>,
) -> Result<()> {
    let (start, len) = (vma.start.0, vma.end.0.saturating_sub(vma.start.0));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let write = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    b.call(libc::SYS_mmap, [start, len, write, flags as u64, u64::MAX, 0].map(Arg::Val));
    if let Some(was) = was.filter(|_| vma.kind == VmaKind::Vdso) {
        for (_, parked, len) in &context.stubs.parked {
            let to = context.stubs.place_behind(*parked);
            b.call(libc::SYS_mremap, [*parked, *len, *len, 3, to].map(Arg::Val));
        }
        let code = context.stubs.stand_in(was)?;
        if code.len() as u64 != len {
            let problem = "it has another size than its code";
            return Err(floe_sys::Error::because("place the vdso", problem).pid(pid.0));
        }
        let from = b.bytes(&code);
        let from = iovec(b, from, len);
        let to = b.words(&[start, len]);
        let one = Arg::Val(1);
        let own = Arg::Val(b.called(context.tree, pid.0)?);
        let args = [own, from.into(), one, to.into(), one, Arg::Val(0)];
        b.call(libc::SYS_process_vm_writev, args);
    }
    b.call(libc::SYS_mprotect, [start, len, u64::from(vma.prot)].map(Arg::Val));
    b.breathe()
}

/// `struct iovec` of what a script has.
fn iovec(b: &mut Script<'_>, bytes: Slot, len: u64) -> Slot {
    let vector = b.words(&[0, len]);
    b.pointer(vector, 0, bytes);
    vector
}

/// Makes a mapping like one of a process, at its place or at another one of the same file.
fn make(
    context: Context<'_>,
    pid: Pid,
    vma: &Vma,
    range: Range<u64>,
    b: &mut Script<'_>,
) -> Result<()> {
    let mut flags = libc::MAP_FIXED_NOREPLACE;
    flags |= match vma.shared {
        true => libc::MAP_SHARED,
        false if vma.has(b"dp") => MAP_DROPPABLE,
        false => libc::MAP_PRIVATE,
    };
    let fd = match vma.kind {
        VmaKind::Anon | VmaKind::Detached => {
            flags |= libc::MAP_ANONYMOUS;
            flags |= vma.huge.map_or(0, |huge| libc::MAP_HUGETLB | huge.flags() as i32);
            u64::MAX
        }
        _ => context.files.mapped(pid, vma)? as u64,
    };
    for (flag, bit) in [(b"gd", MAP_GROWSDOWN), (b"nr", libc::MAP_NORESERVE)] {
        if vma.has(flag) {
            flags |= bit;
        }
    }
    let prot = u64::from(vma.fill_prot());
    let offset = vma.offset.wrapping_add(range.start).wrapping_sub(vma.start.0);
    let args = [range.start, range.end - range.start, prot, flags as u64, fd, offset];
    b.call(libc::SYS_mmap, args.map(Arg::Val));
    Ok(())
}

/// Makes changes of what a stub has from its parent and has for its children.
pub(crate) fn make_all(context: Context<'_>, changes: &[Change], b: &mut Script<'_>) -> Result<()> {
    let hole = context.stubs.hole..context.stubs.hole + floe_plan::HOLE;
    for change in changes {
        match *change {
            Change::Unmap(start, end) => {
                let below = (start, end.min(hole.start));
                let above = (start.max(hole.end), end);
                for (start, end) in [below, above].into_iter().filter(|(start, end)| start < end) {
                    b.call(libc::SYS_munmap, [start, end - start].map(Arg::Val));
                }
            }
            Change::Discard(start, end) => {
                b.call(libc::SYS_madvise, [start, end - start, MADV_DONTNEED].map(Arg::Val));
            }
            Change::Map(start, end, (pid, at)) => {
                let like = floe_plan::vma_at(context.tree, pid, at);
                let none = || floe_sys::Error::because("map it for a child", "it is not there");
                let like = like.ok_or_else(none)?;
                make(context, pid, like, start..end, b)?;
                for (_, advice) in HUGE.into_iter().filter(|(flag, _)| like.has(flag)) {
                    let args = [start, end - start, advice];
                    b.call(libc::SYS_madvise, args.map(Arg::Val));
                }
            }
        }
        b.breathe()?;
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

/// The name that a program has given to anonymous memory. What it cannot be set for is told beforehand.
fn name(vma: &Vma, b: &mut Script<'_>) {
    if let Some(mut name) = given_name(vma).map(<[u8]>::to_vec) {
        name.push(0);
        let name = b.bytes(&name);
        let len = vma.end.0.saturating_sub(vma.start.0).into();
        let args = [floe_sys::PR_SET_VMA.into(), 0.into(), vma.start.0.into(), len, name.into()];
        b.try_call(libc::SYS_prctl, args);
    }
}

/// A name of PR_SET_VMA of prctl(2), as the kernel shows it.
pub(crate) fn given_name(vma: &Vma) -> Option<&[u8]> {
    let name = &vma.name.as_ref()?.0;
    name.strip_prefix(b"anon:").or_else(|| name.strip_prefix(b"anon_shmem:"))
}

/// Final protections and locks.
fn protect(context: Context<'_>, pid: Pid, b: &mut Script<'_>) -> Result<()> {
    let keys = Keys::of(context.tree, pid);
    for vma in context.tree.vmas(pid).filter(|vma| is_own(vma)) {
        let len = vma.end.0.saturating_sub(vma.start.0);
        // Pages that are shared with other processes would be shared no more.
        if !context.inheritance.stays(pid, vma) {
            for (start, end) in &vma.collapsed {
                let len = end.0.saturating_sub(start.0);
                // The kernel may have no such page.
                b.try_call(libc::SYS_madvise, [start.0, len, MADV_COLLAPSE].map(Arg::Val));
            }
        }
        if keys.sets(vma) {
            let args = [vma.start.0, len, u64::from(vma.prot), u64::from(vma.key)];
            b.call(libc::SYS_pkey_mprotect, args.map(Arg::Val));
        } else if vma.prot != vma.fill_prot() {
            let args = [vma.start.0, len, u64::from(vma.prot)];
            b.call(libc::SYS_mprotect, args.map(Arg::Val));
        }
        for (start, end) in &vma.guards {
            let len = end.0.saturating_sub(start.0);
            b.call(libc::SYS_madvise, [start.0, len, MADV_GUARD_INSTALL].map(Arg::Val));
        }
        // What only its process can read is always locked.
        let secret = vma.object().and_then(|id| context.tree.get::<Object>(id));
        let secret = secret.is_some_and(|object| object.kind == ObjectKind::Secret);
        if vma.has(b"lo") && !secret {
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
    keys.free(b);
    // Nothing can be changed any more.
    for vma in context.tree.vmas(pid).filter(|vma| is_own(vma) && vma.has(b"sl")) {
        let len = vma.end.0.saturating_sub(vma.start.0);
        b.call(libc::SYS_mseal, [vma.start.0, len, 0].map(Arg::Val));
    }
    Ok(())
}

/// Whether a mapping was made by the process, and not by the kernel.
fn is_own(vma: &Vma) -> bool {
    !matches!(vma.kind, VmaKind::Vdso | VmaKind::Vvar | VmaKind::Vsyscall | VmaKind::Aio)
}
