//! What a socket lets through: filters (SO_ATTACH_FILTER of socket(7)), and multicast groups with their sources (ip(7)).

use crate::{Error, Result, check};
use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Bytes of an instruction (`struct sock_filter`).
const INSTRUCTION: usize = size_of::<libc::sock_filter>();
/// MCAST_MSFILTER of ip(7).
const MCAST_MSFILTER: i32 = 48;
/// Bytes of a `struct group_filter` in front of its sources: the interface, padding, `struct sockaddr_storage`, mode, number of
/// sources; and of a source.
const FILTER: usize = 144;
const SOURCE: usize = 128;
const GROUP: usize = 8;
const COUNT: usize = 140;

/// How many instructions the filter of a socket has (SO_ATTACH_FILTER), 0 without one. EACCES for a filter that is
/// not a classic one.
pub fn socket_filter_len(fd: BorrowedFd<'_>) -> Result<usize> {
    read_filter(fd, &mut [])
}

/// The instructions of a classic filter, each a `struct sock_filter`; none without a filter.
pub fn socket_filter(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut program = vec![0; socket_filter_len(fd)? * INSTRUCTION];
    if !program.is_empty() {
        let len = read_filter(fd, &mut program)?;
        program.truncate(len * INSTRUCTION);
    }
    Ok(program)
}

/// Reads it into whole instructions.
fn read_filter(fd: BorrowedFd<'_>, program: &mut [u8]) -> Result<usize> {
    // Its length is counted in instructions.
    let mut len = (program.len() / INSTRUCTION) as libc::socklen_t;
    let at = if len == 0 { std::ptr::null_mut() } else { program.as_mut_ptr().cast() };
    let (level, name) = (libc::SOL_SOCKET, libc::SO_GET_FILTER);
    // SAFETY: the kernel writes at most `len` instructions, for which there is room in the exclusively borrowed `program`; with a
    // length of 0 it writes none.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, at, &mut len) } as i64)
        .map_err(|e| Error::new("read the filter of a socket", e))?;
    Ok(len as usize)
}

/// Gives a socket a classic filter.
pub fn attach_filter(fd: BorrowedFd<'_>, program: &[u8]) -> Result<()> {
    let fail = |e| Error::new("set the filter of a socket", e);
    let wrong = |_| fail(std::io::Error::from_raw_os_error(libc::EINVAL));
    let len = u16::try_from(program.len() / INSTRUCTION).map_err(wrong)?;
    let whole: Vec<libc::sock_filter> =
        program.chunks_exact(INSTRUCTION).map(instruction).collect();
    let filter = libc::sock_fprog { len, filter: whole.as_ptr().cast_mut() };
    let (at, size) = ((&raw const filter).cast(), size_of_val(&filter) as libc::socklen_t);
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the kernel reads `filter` and the `len` instructions that it leads to, which outlive the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at, size) } as i64)
        .map_err(fail)
        .map(drop)
}

fn instruction(bytes: &[u8]) -> libc::sock_filter {
    let at = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let (code, k) = (u16::from_ne_bytes([at(0), at(1)]), [4, 5, 6, 7].map(at));
    libc::sock_filter { code, jt: at(2), jf: at(3), k: u32::from_ne_bytes(k) }
}

/// Of a member of a multicast group on an interface, by its index: a `struct group_filter` with the sources that it listens to or does not
/// (MCAST_MSFILTER of ip(7), which tells it only to who names the group). `None` for one that is no member.
pub fn group_filter(fd: BorrowedFd<'_>, interface: u32, group: IpAddr) -> Result<Option<Vec<u8>>> {
    let mut filter = vec![0u8; FILTER];
    filter[..4].copy_from_slice(&interface.to_ne_bytes());
    let (level, family) = match group {
        IpAddr::V4(address) => {
            filter[GROUP + 4..GROUP + 8].copy_from_slice(&address.octets());
            (libc::IPPROTO_IP, libc::AF_INET)
        }
        IpAddr::V6(address) => {
            filter[GROUP + 8..GROUP + 24].copy_from_slice(&address.octets());
            (libc::IPPROTO_IPV6, libc::AF_INET6)
        }
    };
    filter[GROUP..GROUP + 2].copy_from_slice(&(family as u16).to_ne_bytes());
    if !read_group(fd, level, &mut filter)? {
        return Ok(None);
    }
    let count = filter[COUNT..].first_chunk().copied().map_or(0, u32::from_ne_bytes) as usize;
    if count > 0 {
        // It was told how many there are; the second time there is room for them.
        filter.resize(FILTER + count * SOURCE, 0);
        if !read_group(fd, level, &mut filter)? {
            return Ok(None);
        }
    }
    Ok(Some(filter))
}

/// Of a socket that is no member. Raw sockets of IPv6 have nothing of IPv4, and those of Multipath TCP have no groups.
const NO_MEMBER: [i32; 3] = [libc::EADDRNOTAVAIL, libc::ENOPROTOOPT, libc::EOPNOTSUPP];

/// Reads a `struct group_filter` that has as many sources as there is room for; false where it is no member.
fn read_group(fd: BorrowedFd<'_>, level: i32, filter: &mut [u8]) -> Result<bool> {
    let (at, mut len) = (filter.as_mut_ptr().cast(), filter.len() as libc::socklen_t);
    // SAFETY: the kernel reads and writes at most `len` bytes of the exclusively borrowed `filter`, in which there are no
    // addresses of memory.
    let done = unsafe { libc::getsockopt(fd.as_raw_fd(), level, MCAST_MSFILTER, at, &mut len) };
    match check(done as i64) {
        Ok(_) => Ok(true),
        Err(e) if NO_MEMBER.contains(&e.raw_os_error().unwrap_or(0)) => Ok(false),
        Err(e) => Err(Error::new("ask for the multicast groups of a socket", e)),
    }
}
