//! listmount(2) and statmount(2): the mounts of a mount namespace.

use crate::{Result, check};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;
/// ioctl_nsfs(2), `_IOR(0xb7, 5, __u64)`.
const NS_GET_MNTNS_ID: libc::c_ulong = 0x8008_b705;
const LSMT_ROOT: u64 = u64::MAX;
/// Mounts that are asked for at once.
const SOME: usize = 256;

// STATMOUNT_*.
const SB_BASIC: u64 = 1;
const MNT_BASIC: u64 = 2;
const MNT_ROOT: u64 = 8;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
const MNT_OPTS: u64 = 0x80;
const FS_SUBTYPE: u64 = 0x100;
const SB_SOURCE: u64 = 0x200;
const SUPPORTED: u64 = 0x1000;
/// What every mount has.
const NEEDED: u64 = SB_BASIC | MNT_BASIC | MNT_ROOT | MNT_POINT | FS_TYPE;
/// What a file system may have nothing for, and an older kernel does not tell.
const MORE: u64 = MNT_OPTS | FS_SUBTYPE | SB_SOURCE;
/// Bytes of `struct statmount` before its text.
const FIXED: usize = 512;

/// `struct mnt_id_req`, version 1.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
    space: u64,
}

impl Request {
    fn of(space: u64, mount: u64, param: u64) -> Self {
        Self { size: size_of::<Self>() as u32, spare: 0, mount, param, space }
    }
}

/// What the kernel tells of a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names of the manual page")]
pub struct MountStatus {
    /// As mountinfo numbers it and its parent.
    pub mnt_id_old: u32,
    pub mnt_parent_id_old: u32,
    /// As makedev(3) packs it.
    pub dev: u64,
    pub sb_flags: u32,
    pub mnt_attr: u64,
    pub mnt_propagation: u64,
    pub mnt_peer_group: u64,
    pub mnt_master: u64,
    pub mnt_root: Vec<u8>,
    pub mnt_point: Vec<u8>,
    /// With the subtype behind a dot, where there is one.
    pub fs_type: Vec<u8>,
    pub sb_source: Vec<u8>,
    /// Options of the super block, escaped as in mountinfo.
    pub mnt_opts: Vec<u8>,
}

/// All mounts of a mount namespace, which the calling thread must be in; `None` where this kernel does not tell (before 6.15).
///
/// # Errors
/// Those of the calls, among them EPERM for who has not CAP_SYS_ADMIN in the user namespace of that one.
pub fn all_mounts(space: BorrowedFd<'_>) -> Result<Option<Vec<MountStatus>>> {
    let fail = |e| crate::Error::new("list mounts", e);
    let missing = |e: &io::Error| {
        matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::ENOTTY | libc::EINVAL))
    };
    let mut id = 0u64;
    // SAFETY: the kernel writes one number of 64 bits.
    let asked =
        check(i64::from(unsafe { libc::ioctl(space.as_raw_fd(), NS_GET_MNTNS_ID, &raw mut id) }));
    match asked {
        Err(e) if missing(&e) => return Ok(None),
        asked => asked.map_err(fail)?,
    };
    let ids = match list(id) {
        // From outside the kernel looks for the root among the mounts that are younger than what it is mounted on, and does not find
        // one that was made before.
        Err(e) if missing(&e) || e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        ids => ids.map_err(fail)?,
    };
    let mut all = Vec::with_capacity(ids.len());
    for mount in ids {
        match one(id, mount) {
            Ok(Some(found)) => all.push(found),
            Ok(None) => return Ok(None),
            // It has just been unmounted.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(Some(all))
}

fn list(space: u64) -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = Vec::new();
    loop {
        let request = Request::of(space, LSMT_ROOT, all.last().copied().unwrap_or(0));
        let mut some = [0u64; SOME];
        let (request, at) = (&raw const request, some.as_mut_ptr());
        // SAFETY: the kernel reads a whole request, and writes at most as many numbers as there is room for.
        let count = check(unsafe { libc::syscall(SYS_LISTMOUNT, request, at, SOME, 0) })?;
        all.extend(some.iter().take(count as usize));
        if (count as usize) < SOME {
            return Ok(all);
        }
    }
}

fn one(space: u64, mount: u64) -> io::Result<Option<MountStatus>> {
    let request = Request::of(space, mount, NEEDED | MORE | SUPPORTED);
    let mut buffer = vec![0u8; 4096];
    loop {
        let (at, len) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: the kernel reads a whole request, and writes at most `len` bytes.
        let done = check(unsafe { libc::syscall(SYS_STATMOUNT, &raw const request, at, len, 0) });
        match done {
            Err(e) if e.raw_os_error() == Some(libc::EOVERFLOW) && len < 1 << 20 => {
                buffer.resize(len * 4, 0);
            }
            done => return done.map(|_| read(&buffer)),
        }
    }
}

/// Offsets are those of `struct statmount` of linux/mount.h.
fn read(buffer: &[u8]) -> Option<MountStatus> {
    let u32_at = |at: usize| buffer.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let u64_at = |at: usize| buffer.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes);
    let mask = u64_at(8)?;
    let text = |at: usize, bit: u64| {
        if mask & bit == 0 {
            return Some(Vec::new());
        }
        let text = buffer.get(FIXED + u32_at(at)? as usize..)?;
        Some(text[..text.iter().position(|byte| *byte == 0)?].to_vec())
    };
    let supported = if mask & SUPPORTED != 0 { u64_at(144)? } else { 0 };
    if mask & NEEDED != NEEDED || supported & MORE != MORE {
        return None;
    }
    let mut fs_type = text(36, FS_TYPE)?;
    let subtype = text(120, FS_SUBTYPE)?;
    if !subtype.is_empty() {
        fs_type.push(b'.');
        fs_type.extend(subtype);
    }
    Some(MountStatus {
        mnt_id_old: u32_at(56)?,
        mnt_parent_id_old: u32_at(60)?,
        dev: libc::makedev(u32_at(16)?, u32_at(20)?),
        sb_flags: u32_at(32)?,
        mnt_attr: u64_at(64)?,
        mnt_propagation: u64_at(72)?,
        mnt_peer_group: u64_at(80)?,
        mnt_master: u64_at(88)?,
        mnt_root: text(104, MNT_ROOT)?,
        mnt_point: text(108, MNT_POINT)?,
        fs_type,
        sb_source: text(124, SB_SOURCE)?,
        mnt_opts: text(4, MNT_OPTS)?,
    })
}
