//! File locks. Each is taken by the process that has the descriptor, whose id /proc/locks shows, when it closes no descriptor
//! any more: closing any one of the file would drop those of a process. Before there is any process, restore finds out whether
//! they can be had.

use crate::{
    resource::{Context, ForDescriptor},
    script::Script,
};
use floe_parasite::Arg;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use std::os::fd::{AsFd, OwnedFd};

const F_SETLK: u64 = 6;

fn flock_of(lock: &Lock) -> Result<libc::flock> {
    let kind = if lock.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    // No file has more bytes than i64 counts; a negative length would lock what lies before.
    let number = |n: u64| i64::try_from(n).ok();
    let len = match lock.last {
        None => Some(0),
        Some(last) => last.checked_sub(lock.start).and_then(|len| number(len)?.checked_add(1)),
    };
    let (Some(start), Some(len)) = (number(lock.start), len) else {
        return Err(Error::because("lock it as it was", "its range is damaged"));
    };
    Ok(libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: len,
        l_pid: 0,
    })
}

impl ForDescriptor for Locks {
    /// Takes those that show nobody's id, and finds out whether the process will get the others.
    fn opened(&self, fd: &OwnedFd, _: &mut dyn FnMut(String)) -> Result<()> {
        self.locks.iter().try_for_each(|lock| take(fd, lock))
    }

    fn apply(&self, _: Context<'_>, fd: FdNum, script: &mut Script<'_>) -> Result<()> {
        let number = Arg::Val(u64::from(fd.0));
        for lock in self.locks.iter().filter(|lock| lock.kind == LockKind::Flock) {
            script.call(libc::SYS_flock, [number, Arg::Val(how(lock) as u64)]);
        }
        for lock in self.locks.iter().filter(|lock| lock.kind == LockKind::Posix) {
            let it = flock_of(lock)?;
            let mut bytes = [it.l_type.to_ne_bytes(), it.l_whence.to_ne_bytes()].concat();
            bytes.extend([0; 4]);
            bytes.extend([it.l_start.to_ne_bytes(), it.l_len.to_ne_bytes()].concat());
            bytes.extend([0; 8]);
            let range = script.bytes(&bytes);
            script.call(libc::SYS_fcntl, [number, Arg::Val(F_SETLK), range.into()]);
            script.breathe()?;
        }
        Ok(())
    }
}

/// The operation of flock(2).
fn how(lock: &Lock) -> i32 {
    (if lock.exclusive { libc::LOCK_EX } else { libc::LOCK_SH }) | libc::LOCK_NB
}

/// Takes an OFD lock, or finds out whether the process will get another one.
fn take(fd: &OwnedFd, lock: &Lock) -> Result<()> {
    let held = |by: i32| {
        let by = if by > 0 { format!(" by {by}") } else { String::new() };
        Error::because("lock it as it was", format!("it is locked{by}"))
    };
    let failed = |e| match e {
        Errno::EAGAIN | Errno::EACCES => held(0),
        e => Error::new("lock it as it was", e),
    };
    let mut range = flock_of(lock)?;
    match lock.kind {
        LockKind::Flock => {
            let done = floe_sys::flock(fd.as_fd(), how(lock));
            let done = done.and_then(|()| floe_sys::flock(fd.as_fd(), libc::LOCK_UN));
            done.map_err(|e| failed(Errno::from_raw(e.raw_os_error().unwrap_or(0))))
        }
        LockKind::Ofd => fcntl(fd.as_fd(), FcntlArg::F_OFD_SETLK(&range)).map(drop).map_err(failed),
        LockKind::Posix => {
            fcntl(fd.as_fd(), FcntlArg::F_OFD_GETLK(&mut range)).map_err(failed)?;
            if range.l_type == libc::F_UNLCK as i16 { Ok(()) } else { Err(held(range.l_pid)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_record_or_an_error() {
        let range = |start, last| {
            let lock = Lock { kind: LockKind::Posix, exclusive: true, start, last };
            flock_of(&lock).ok().map(|range| (range.l_start, range.l_len))
        };
        assert_eq!(range(10, Some(19)), Some((10, 10)));
        assert_eq!(range(7, None), Some((7, 0)));
        assert_eq!(range(10, Some(9)), None);
        assert_eq!(range(0, Some(u64::MAX)), None);
        assert_eq!(range(0, Some(i64::MAX as u64)), None);
        assert_eq!(range(u64::MAX, None), None);
    }
}
