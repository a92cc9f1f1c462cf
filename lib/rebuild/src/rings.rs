//! Mappings of io_uring instances.
//!
//! The kernel alone says where such a mapping comes (io_uring_get_unmapped_area of io_uring/memmap.c), and none can be moved. So for a
//! moment everything else is taken: it has no other choice than the place where the mapping was.

use crate::{resource::Context, script::Script};
use floe_parasite::{Arg, Call};
use floe_records::{Pid, USER_END, Vma, VmaKind};
use floe_sys::{Error, Result};

const PAGE: u64 = 4096;
/// Below this nothing can be mapped without a capability (vm.mmap_min_addr), and no program has anything.
const LOW: u64 = 1 << 16;
const FREE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Keeps the place of a mapping free.
pub(crate) fn reserve(vma: &Vma, b: &mut Script<'_>) {
    take(vma.start.0, vma.end.0, false, b);
}

/// Maps the instances of a process of which all other mappings are there.
pub(crate) fn place(context: Context<'_>, pid: Pid, b: &mut Script<'_>) -> Result<()> {
    let rings: Vec<&Vma> = context.tree.vmas(pid).filter(|vma| vma.kind == VmaKind::Ring).collect();
    if rings.is_empty() {
        return Ok(());
    }
    b.run()?;
    let gaps = gaps(pid)?;
    for &(start, end) in &gaps {
        take(start, end, start < LOW, b);
    }
    let mut placed = Vec::with_capacity(rings.len());
    for vma in &rings {
        let fd = context.files.mapped(pid, vma)?;
        placed.push(map(vma, fd, b));
    }
    for (start, end) in gaps {
        b.call(libc::SYS_munmap, [start, end - start].map(Arg::Val));
    }
    let replies = b.run()?;
    for (vma, call) in rings.iter().zip(placed) {
        let at = replies.as_ref().map_or(Ok(0), |replies| replies.value(call))?;
        if at != vma.start.0 {
            let why = format!("it was at {:x}, and the kernel puts it at {at:x}", vma.start.0);
            return Err(Error::because("map an io_uring instance", why).pid(pid.0));
        }
    }
    Ok(())
}

/// Maps one, at the only place that is free.
fn map(vma: &Vma, fd: u32, b: &mut Script<'_>) -> Call {
    let len = vma.end.0.saturating_sub(vma.start.0);
    b.call(libc::SYS_munmap, [vma.start.0, len].map(Arg::Val));
    let flags = libc::MAP_SHARED as u64;
    let args = [0, len, u64::from(vma.prot), flags, u64::from(fd), vma.offset];
    b.call(libc::SYS_mmap, args.map(Arg::Val))
}

fn take(start: u64, end: u64, may_fail: bool, b: &mut Script<'_>) {
    let flags = (FREE | libc::MAP_FIXED_NOREPLACE) as u64;
    let args = [start, end - start, 0, flags, u64::MAX, 0].map(Arg::Val);
    if may_fail {
        b.try_call(libc::SYS_mmap, args);
    } else {
        b.call(libc::SYS_mmap, args);
    }
}

/// Where a process has nothing.
fn gaps(pid: Pid) -> Result<Vec<(u64, u64)>> {
    let mut all = Vec::new();
    let mut add = |start: u64, end: u64| {
        let low = (start, end.min(LOW));
        let high = (start.max(LOW), end);
        all.extend([low, high].into_iter().filter(|(start, end)| start < end));
    };
    let mut at = PAGE;
    for map in floe_proc::mappings(pid.0)?.iter().filter(|map| map.start < USER_END) {
        add(at, map.start);
        at = map.end.max(at);
    }
    add(at, USER_END);
    Ok(all)
}
