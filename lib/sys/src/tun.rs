//! Interfaces of /dev/net/tun.

use crate::{Error, Result, check};
use std::{fs::File, io, os::fd::AsRawFd};

const TUNSETIFF: u64 = 0x4004_54ca;
const TUNSETPERSIST: u64 = 0x4004_54cb;
const TUNSETOWNER: u64 = 0x4004_54cc;
const TUNSETGROUP: u64 = 0x4004_54ce;
const TUNSETIFINDEX: u64 = 0x4004_54da;

/// An interface that stays when nobody has it open.
#[derive(Clone, Copy, Debug)]
pub struct NewTun<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its number.
    pub index: u32,
    /// IFF_TUN (1) or IFF_TAP (2).
    pub kind: u8,
    /// Packets have `struct tun_pi` in front.
    pub packet_information: bool,
    /// Packets have `struct virtio_net_hdr` in front.
    pub header: bool,
    /// Several may have it open at once.
    pub many_queues: bool,
    /// Who may open it.
    pub owner: Option<u32>,
    /// Which group may.
    pub group: Option<u32>,
}

/// Makes one.
///
/// # Errors
/// Those of open(2) on /dev/net/tun and of ioctl(2).
pub fn make_tun(new: &NewTun<'_>) -> Result<()> {
    let fail = |e: io::Error| Error::new("make it by /dev/net/tun", e);
    let file = File::options().read(true).write(true).open("/dev/net/tun").map_err(fail)?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if new.name.len() >= request.ifr_name.len() {
        return Err(fail(io::ErrorKind::InvalidInput.into()));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(new.name) {
        *place = *byte as libc::c_char;
    }
    let mut flags = libc::c_int::from(new.kind);
    for (wanted, flag) in [
        (!new.packet_information, libc::IFF_NO_PI),
        (new.header, libc::IFF_VNET_HDR),
        (new.many_queues, libc::IFF_MULTI_QUEUE),
    ] {
        flags |= if wanted { flag } else { 0 };
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes live locals of the sizes that these commands say.
    unsafe {
        let index: u32 = new.index;
        check(libc::ioctl(file.as_raw_fd(), TUNSETIFINDEX, &raw const index).into())
            .map_err(fail)?;
        check(libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request).into()).map_err(fail)?;
    }
    let numbers = [(TUNSETOWNER, new.owner), (TUNSETGROUP, new.group), (TUNSETPERSIST, Some(1))];
    for (command, number) in numbers {
        let Some(number) = number else { continue };
        // SAFETY: these commands take a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), command, u64::from(number)) }.into())
            .map_err(fail)?;
    }
    Ok(())
}
