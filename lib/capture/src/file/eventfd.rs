//! eventfd(2), by fs/eventfd.c's show_fdinfo.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Eventfd, FileId};
use floe_sys::Error;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

impl OfFile for Eventfd {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[eventfd]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let fail = |e| Error::new("read an eventfd", e);
        let count = seen.info.hex("eventfd-count").map_err(fail)?;
        let semaphore = match seen.info.line("eventfd-semaphore") {
            Some(shown) => shown == b"1",
            // No refusal depends on it.
            None if !seen.context.taking => false,
            None => {
                let count = seen.info_now()?.hex("eventfd-count").map_err(fail)?;
                counts_down(seen.duplicate()?, count).map_err(fail)?
            }
        };
        Ok(Eventfd { file, count, semaphore })
    }
}

/// Whether a read takes one off (EFD_SEMAPHORE). Older kernels (6.1) do not show it: one is added, taken, and the
/// counter put back. Nobody who looks at the counter runs meanwhile.
fn counts_down(fd: BorrowedFd<'_>, count: u64) -> io::Result<bool> {
    let add = |n: u64| nix::unistd::write(fd.as_fd(), &n.to_ne_bytes()).map(drop);
    let take = || {
        let mut taken = [0; 8];
        nix::unistd::read(fd.as_fd(), &mut taken).map(|_| u64::from_ne_bytes(taken))
    };
    if count >= u64::MAX - 2 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let extra = if count == 0 { 2 } else { 1 };
    add(extra)?;
    match take()? {
        1 if extra == 2 => take().map(|_| true).map_err(Into::into),
        1 => Ok(true),
        _ if count == 0 => Ok(false),
        _ => add(count).map(|()| false).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::{EfdFlags, EventFd};

    #[test]
    fn the_kind_is_found_out_and_nothing_changes() {
        for count in [0, 1, 2, 77, 1 << 40] {
            for flag in [EfdFlags::empty(), EfdFlags::EFD_SEMAPHORE] {
                let fd = EventFd::from_flags(flag | EfdFlags::EFD_NONBLOCK).unwrap();
                fd.write(count).unwrap();
                let semaphore = flag == EfdFlags::EFD_SEMAPHORE;
                assert_eq!(counts_down(fd.as_fd(), count).unwrap(), semaphore);
                if count > 0 {
                    assert_eq!(fd.read().unwrap(), if semaphore { 1 } else { count });
                }
                let left = if semaphore && count > 1 { Ok(1) } else { Err(nix::Error::EAGAIN) };
                assert_eq!(fd.read(), left);
            }
        }
    }
}
