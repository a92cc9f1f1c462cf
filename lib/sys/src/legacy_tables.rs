//! Tables of iptables(8), as they are without nf_tables.

use crate::{Error, Result, check};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::{io, os::fd::AsRawFd};

/// IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES of include/uapi/linux/netfilter_ipv4/ip_tables.h; those of IPv6 are the same.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
/// Bytes of `struct ipt_getinfo` and, in front of the entries, of `struct ipt_get_entries`.
const INFO: usize = 84;
const FRONT: usize = 40;
const NAME: usize = 32;
/// The verdict NF_ACCEPT of a standard target, behind its `struct xt_entry_target`.
const ACCEPT: i32 = -2;
const TARGET: usize = 32;

/// Whether a table has a rule, or a policy other than ACCEPT. `level` is SOL_IP or SOL_IPV6; the table must be there.
///
/// # Errors
/// Those of getsockopt(2).
pub fn legacy_table(level: i32, name: &str) -> Result<bool> {
    let fail = |e: io::Error| Error::new(format!("read the table {name} of iptables"), e);
    let (family, target_at) = match level {
        libc::SOL_IP => (AddressFamily::Inet, 88),
        _ => (AddressFamily::Inet6, 140),
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.map_err(|e| fail(e.into()))?;
    let ask = |what: i32, buffer: &mut Vec<u8>| {
        buffer[..NAME].fill(0);
        let bytes = name.as_bytes().get(..NAME - 1).unwrap_or(name.as_bytes());
        buffer[..bytes.len()].copy_from_slice(bytes);
        let mut len = buffer.len() as libc::socklen_t;
        // SAFETY: the kernel reads and writes at most `len` bytes of a live buffer.
        let done = unsafe {
            let place = buffer.as_mut_ptr().cast();
            libc::getsockopt(socket.as_raw_fd(), level, what, place, &raw mut len)
        };
        check(done.into()).map_err(fail)
    };
    let mut info = vec![0; INFO];
    ask(GET_INFO, &mut info)?;
    let word = |bytes: &[u8], at: usize| {
        let four = bytes.get(at..at + 4).and_then(|four| four.first_chunk().copied());
        four.map_or(0, u32::from_ne_bytes)
    };
    let (hooks, entries, size) = (word(&info, 32), word(&info, 76), word(&info, 80));
    if entries != hooks.count_ones() + 1 {
        return Ok(true);
    }
    let mut all = vec![0; FRONT + size as usize];
    all[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    ask(GET_ENTRIES, &mut all)?;
    let policy = |hook: usize| {
        let at = FRONT + word(&info, 36 + 4 * hook) as usize;
        let target = all.get(at + target_at..at + target_at + 2);
        let target =
            target.and_then(|two| two.first_chunk().copied()).map_or(0, u16::from_ne_bytes);
        word(&all, at + usize::from(target) + TARGET).cast_signed()
    };
    Ok((0..5).filter(|hook| hooks & (1 << hook) != 0).any(|hook| policy(hook) != ACCEPT))
}
