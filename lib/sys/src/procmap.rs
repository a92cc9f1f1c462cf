//! PROCMAP_QUERY: one mapping of a process, without text.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

const PROCMAP_QUERY: u64 = 0xc068_6611;
const COVERING_OR_NEXT: u64 = 0x10;
const NAME_MAX: usize = 4096;

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// 1 read, 2 write, 4 execute, 8 shared.
    pub flags: u64,
    /// Its page size.
    pub page_size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Device of the file.
    pub dev: (u32, u32),
    /// The path or the bracketed name.
    pub name: Vec<u8>,
}

#[derive(Default)]
#[repr(C)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    start: u64,
    end: u64,
    flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    major: u32,
    minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_addr: u64,
    build_id_addr: u64,
}

/// The mapping that covers `addr` or the next one, through an open `/proc/PID/maps`; `None` behind the last.
/// ENOTTY on kernels without it.
pub fn procmap_query(maps: BorrowedFd<'_>, addr: u64) -> io::Result<Option<Mapping>> {
    let mut name = vec![0u8; NAME_MAX];
    let mut query = Query {
        size: size_of::<Query>() as u64,
        query_flags: COVERING_OR_NEXT,
        query_addr: addr,
        name_size: NAME_MAX as u32,
        name_addr: name.as_mut_ptr() as u64,
        ..Query::default()
    };
    let at = std::ptr::from_mut(&mut query);
    // SAFETY: `query` has the size it says; `name` is a live buffer of `name_size` bytes.
    if unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY as _, at) } == -1 {
        let e = io::Error::last_os_error();
        return if e.raw_os_error() == Some(libc::ENOENT) { Ok(None) } else { Err(e) };
    }
    // The size counts the NUL at the end; 0 is "no name".
    name.truncate((query.name_size as usize).saturating_sub(1));
    Ok(Some(Mapping {
        start: query.start,
        end: query.end,
        flags: query.flags,
        page_size: query.page_size,
        offset: query.offset,
        inode: query.inode,
        dev: (query.major, query.minor),
        name,
    }))
}
