//! Limits, scheduling and the robust list of a task.

use crate::{Error, Result, check};
use zerocopy::{FromBytes, Immutable, IntoBytes};

fn fail(pid: i32, doing: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| Error::new(doing, e).pid(pid as u32)
}

/// Soft and hard limit.
pub fn get_limit(pid: i32, resource: u32) -> Result<(u64, u64)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `old` is a live local, no new limit is given.
    check(unsafe { libc::prlimit64(pid, resource, std::ptr::null(), &mut old) } as i64)
        .map_err(fail(pid, "read a limit"))?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Sets soft and hard limit.
pub fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `new` is a live local, the old limit is not asked for.
    check(unsafe { libc::prlimit64(pid, resource, &new, std::ptr::null_mut()) } as i64)
        .map_err(fail(pid, "set a limit"))
        .map(drop)
}

/// Address and length of the head of the robust futex list of a thread.
pub fn robust_list(tid: i32) -> Result<(u64, u64)> {
    let (mut head, mut len) = (0u64, 0u64);
    let (h, l) = (std::ptr::from_mut(&mut head), std::ptr::from_mut(&mut len));
    // SAFETY: both are live locals of eight bytes.
    check(unsafe { libc::syscall(libc::SYS_get_robust_list, tid, h, l) })
        .map_err(fail(tid, "read the robust list"))?;
    Ok((head, len))
}

/// The effective capabilities of this thread, bit n for capability n (capget(2)).
pub fn effective_capabilities() -> Result<u64> {
    /// _LINUX_CAPABILITY_VERSION_3.
    const VERSION: u32 = 0x2008_0522;
    let mut header = [VERSION, 0];
    // Effective, permitted and inheritable ones; the lower 32 bits, then the upper ones.
    let mut sets = [0u32; 6];
    // SAFETY: with this version the kernel writes two structures of three words, and the version to the header.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) })
        .map_err(|e| Error::new("read our capabilities", e))?;
    Ok(u64::from(sets[3]) << 32 | u64::from(sets[0]))
}

/// `struct sched_attr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// How a thread is scheduled.
pub fn sched_attr(tid: i32) -> Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    let at = std::ptr::from_mut(&mut attr);
    // SAFETY: the kernel writes at most `size` bytes to the live local.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, at, size, 0) })
        .map_err(fail(tid, "read the scheduling policy"))?;
    Ok(attr)
}

/// The CPUs a thread may run on, bit 0 of byte 0 is CPU 0.
pub fn affinity(tid: i32) -> Result<Vec<u8>> {
    let mut mask = vec![0u8; 1024];
    // SAFETY: the kernel writes at most the buffer's length.
    let n = check(unsafe {
        libc::syscall(libc::SYS_sched_getaffinity, tid, mask.len(), mask.as_mut_ptr())
    })
    .map_err(fail(tid, "read the CPU affinity"))?;
    mask.truncate(n as usize);
    Ok(mask)
}

/// Sets the CPUs a thread may run on.
pub fn set_affinity(tid: i32, mask: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads at most the buffer's length.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) })
        .map_err(fail(tid, "set the CPU affinity"))
        .map(drop)
}
