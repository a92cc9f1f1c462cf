//! Maps of bpf(2). The attributes of a call are numbers at fixed places (`union bpf_attr` of include/uapi/linux/bpf.h).

use crate::{Error, Result, check, descriptors::made};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_NEXT_KEY: i32 = 4;
const PROG_NEXT_ID: i32 = 11;
const PROG_BY_ID: i32 = 13;
const MAP_BY_ID: i32 = 14;
const INFO: i32 = 15;
const MAP_FREEZE: i32 = 22;

/// Attributes of a call.
#[repr(C, align(8))]
pub(crate) struct Attr([u8; 128]);

impl Attr {
    pub(crate) fn new() -> Self {
        Self([0; 128])
    }

    pub(crate) fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn pointer(self, at: usize, to: *const u8) -> Self {
        self.u64(at, to as u64)
    }
}

/// # Safety
/// What the attributes point to is valid for what the command reads and writes there.
pub(crate) unsafe fn bpf(command: i32, attr: &mut Attr) -> io::Result<i64> {
    // SAFETY: the kernel reads and writes no more than the length of `attr`, and the rest is the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attr.0.as_mut_ptr(), attr.0.len()) })
}

/// What a map is (`struct bpf_map_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BpfMapInfo {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    /// Its number in the system.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries, at most.
    pub max_entries: u32,
    /// BPF_F_*.
    pub flags: u32,
    /// Its name, zeros behind it.
    pub name: [u8; 16],
    /// It has nothing but that: no types (BTF), no device, nothing of its kind alone.
    pub plain: bool,
}

/// Asks what a map is.
pub fn bpf_map_info(map: BorrowedFd<'_>) -> Result<BpfMapInfo> {
    let mut info = Attr::new();
    let pointer = info.0.as_mut_ptr();
    // `info_len` of 88 bytes: up to `map_extra`.
    let mut attr = Attr::new().u32(0, map.as_raw_fd() as u32).u32(4, 88).pointer(8, pointer);
    // SAFETY: `info` has room for 88 bytes.
    unsafe { bpf(INFO, &mut attr) }.map_err(|e| Error::new("ask what a map of BPF is", e))?;
    let number = |at: usize| {
        let bytes = info.0[at..at + 4].try_into().unwrap_or_default();
        u32::from_ne_bytes(bytes)
    };
    Ok(BpfMapInfo {
        kind: number(0),
        id: number(4),
        key_size: number(8),
        value_size: number(12),
        max_entries: number(16),
        flags: number(20),
        name: info.0[24..40].try_into().unwrap_or_default(),
        plain: info.0[40..88].iter().all(|byte| *byte == 0),
    })
}

/// A descriptor of a map by its number; the flags are BPF_F_RDONLY or BPF_F_WRONLY. Needs CAP_SYS_ADMIN.
pub fn bpf_map_by_id(id: u32, flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: nothing is pointed to.
    made(unsafe { bpf(MAP_BY_ID, &mut Attr::new().u32(0, id).u32(8, flags)) }?)
}

/// BPF_MAP_TYPE_HASH and BPF_MAP_TYPE_ARRAY.
pub const BPF_MAPS: [u32; 2] = [1, 2];

/// A hash or array, whose keys and values have lengths that are known.
#[derive(Debug)]
pub struct BpfMap {
    fd: OwnedFd,
    info: BpfMapInfo,
}

impl BpfMap {
    /// One that is there.
    pub fn of(fd: OwnedFd) -> Result<Self> {
        let info = bpf_map_info(fd.as_fd())?;
        if BPF_MAPS.contains(&info.kind) {
            return Ok(Self { fd, info });
        }
        Err(Error::because("use a map of BPF", "it is neither a hash nor an array"))
    }

    /// Makes one. Its number is another one.
    pub fn new(info: &BpfMapInfo) -> Result<Self> {
        let mut attr = Attr::new()
            .u32(0, info.kind)
            .u32(4, info.key_size)
            .u32(8, info.value_size)
            .u32(12, info.max_entries)
            .u32(16, info.flags);
        attr.0[28..44].copy_from_slice(&info.name);
        // SAFETY: nothing is pointed to.
        let fd = unsafe { bpf(MAP_CREATE, &mut attr) }.and_then(made);
        Self::of(fd.map_err(|e| Error::new("make a map of BPF", e))?)
    }

    /// What it is.
    pub fn info(&self) -> &BpfMapInfo {
        &self.info
    }

    fn elem(&self, key: &[u8], value: *const u8) -> io::Result<Attr> {
        if key.len() != self.info.key_size as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let attr = Attr::new().u32(0, self.fd.as_raw_fd() as u32);
        Ok(attr.pointer(8, key.as_ptr()).pointer(16, value))
    }

    /// The key behind another one, or the first one; `None` at the end.
    pub fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.info.key_size as usize];
        let to = next.as_mut_ptr();
        let mut attr = match key {
            Some(key) => self.elem(key, to)?,
            None => Attr::new().u32(0, self.fd.as_raw_fd() as u32).pointer(16, to),
        };
        // SAFETY: both keys have the length of those of the map.
        found(unsafe { bpf(MAP_NEXT_KEY, &mut attr) }, next)
    }

    /// The value of a key; `None` where there is none.
    pub fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.info.value_size as usize];
        let mut attr = self.elem(key, value.as_mut_ptr())?;
        // SAFETY: key and value have the lengths of those of the map, which has one value of each key.
        found(unsafe { bpf(MAP_LOOKUP, &mut attr) }, value)
    }

    /// Sets a value.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if value.len() != self.info.value_size as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = self.elem(key, value.as_ptr())?;
        // SAFETY: key and value have the lengths of those of the map, and are only read.
        unsafe { bpf(MAP_UPDATE, &mut attr) }.map(drop)
    }

    /// No call of bpf(2) may change it any more.
    pub fn freeze(&self) -> io::Result<()> {
        // SAFETY: nothing is pointed to.
        unsafe { bpf(MAP_FREEZE, &mut Attr::new().u32(0, self.fd.as_raw_fd() as u32)) }.map(drop)
    }
}

/// What was written, or `None` where there is none.
fn found(result: io::Result<i64>, written: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    match result {
        Ok(_) => Ok(Some(written)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Maps that one program uses, at most (MAX_USED_MAPS of kernel/bpf/verifier.c).
const MOST_USED: usize = 64;

/// Whether a program of the system uses a map. Needs CAP_SYS_ADMIN.
pub fn bpf_map_is_used(id: u32) -> Result<bool> {
    let fail = |e| Error::new("look at the programs of BPF", e);
    let mut program = 0;
    loop {
        let mut attr = Attr::new().u32(0, program);
        // SAFETY: nothing is pointed to.
        match unsafe { bpf(PROG_NEXT_ID, &mut attr) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            other => other.map_err(fail)?,
        };
        program = u32::from_ne_bytes(attr.0[4..8].try_into().unwrap_or_default());
        // SAFETY: nothing is pointed to.
        let fd = match unsafe { bpf(PROG_BY_ID, &mut Attr::new().u32(0, program)) } {
            // It has ended.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            fd => fd.and_then(made).map_err(fail)?,
        };
        let mut ids = [0_u32; MOST_USED];
        let mut info = Attr::new().u32(52, MOST_USED as u32).pointer(56, ids.as_mut_ptr().cast());
        let pointer = info.0.as_mut_ptr();
        let mut attr = Attr::new().u32(0, fd.as_raw_fd() as u32).u32(4, 64).pointer(8, pointer);
        // SAFETY: `info` has room for 64 bytes, and says that `ids` has room for as many numbers as it has.
        unsafe { bpf(INFO, &mut attr) }.map_err(fail)?;
        let count = u32::from_ne_bytes(info.0[52..56].try_into().unwrap_or_default());
        if count as usize > MOST_USED || ids.contains(&id) {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_what_is_put_in() {
        let mut name = [0; 16];
        name[..5].copy_from_slice(b"notes");
        let (key_size, value_size, max_entries) = (4, 8, 10);
        let info = BpfMapInfo {
            kind: 1,
            id: 0,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            name,
            plain: true,
        };
        // Which takes a capability.
        let Ok(map) = BpfMap::new(&info) else { return };
        assert_eq!(map.next_key(None).unwrap(), None);
        map.update(b"here", b"a value!").unwrap();
        let first = map.next_key(None).unwrap().unwrap();
        assert_eq!(first, b"here");
        assert_eq!(map.next_key(Some(&first)).unwrap(), None);
        assert_eq!(map.lookup(b"here").unwrap().unwrap(), b"a value!");
        assert_eq!(map.lookup(b"gone").unwrap(), None);
        assert!(map.lookup(b"longer").is_err() && map.update(b"here", b"short").is_err());
        let seen = *map.info();
        assert_eq!(BpfMapInfo { id: 0, ..seen }, info);
        assert!(!bpf_map_is_used(seen.id).unwrap());
        assert_eq!(bpf_map_info(bpf_map_by_id(seen.id, 0).unwrap().as_fd()).unwrap(), seen);
        map.freeze().unwrap();
        assert!(map.update(b"here", b"a value?").is_err());
    }
}
