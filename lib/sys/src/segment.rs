//! Segments of System V shared memory.

use crate::{
    Error, Result, check,
    clone::{CLONE_CLEAR_SIGHAND, wait_for, without_signals},
};
use std::{fs::File, io, os::fd::OwnedFd};

/// What shmget(2) makes, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct NewSegment {
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// Identifier that it must have.
    pub id: u32,
    /// Bytes.
    pub size: u64,
    /// Permissions.
    pub mode: u32,
    /// SHM_HUGETLB and the size of its pages; 0 for ordinary ones.
    pub huge: u32,
    /// User and group that make it.
    pub creator: [u32; 2],
    /// Pid of the process that makes it, where it is free; 0 for any.
    pub pid: i32,
}

/// Makes a segment with a given identifier (kernel.shm_next_id; needs CAP_CHECKPOINT_RESTORE). Says whether its maker had
/// the pid that was asked for.
///
/// # Errors
/// EEXIST where the key or the identifier is taken.
pub fn make_segment(new: &NewSegment) -> Result<bool> {
    let doing = || format!("make the segment {} of shared memory", new.id);
    let fail = |e: io::Error| Error::new(doing(), e);
    std::fs::write("/proc/sys/kernel/shm_next_id", new.id.to_string()).map_err(fail)?;
    let exact = match maker(new, new.pid) {
        // Somebody else has the pid.
        Err(e) if new.pid != 0 && e.raw_os_error() == Some(libc::EEXIST) => {
            maker(new, 0).map_err(fail).map(|pid| (pid, false))
        }
        made => made.map_err(fail).map(|pid| (pid, true)),
    };
    let (pid, exact) = exact?;
    match wait_for(pid).map_err(fail)? {
        0 => Ok(exact),
        status if status & 0x7f == 0 => {
            Err(fail(io::Error::from_raw_os_error((status >> 8) as i32)))
        }
        status => Err(Error::because(doing(), format!("its maker ended with {status:#x}"))),
    }
}

/// Starts the process that makes it and ends with the errno of that.
fn maker(new: &NewSegment, pid: i32) -> io::Result<i32> {
    // SAFETY: an all-zero clone_args is valid. Without a signal at its end, nobody but us waits for it.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_CLEAR_SIGHAND;
    if pid != 0 {
        args.set_tid = std::ptr::from_ref(&pid) as u64;
        args.set_tid_size = 1;
    }
    let made = without_signals(|| {
        // SAFETY: without CLONE_VM the child has its own copy of our memory and stack.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of_val(&args))
        };
        if pid == 0 {
            make_and_end(new);
        }
        check(pid)
    });
    made.map(|pid| pid as i32)
}

/// The child.
fn make_and_end(new: &NewSegment) -> ! {
    let [uid, gid] = new.creator.map(|id| id as libc::c_long);
    let how = (libc::IPC_CREAT | libc::IPC_EXCL) as u32 | new.mode & 0o777 | new.huge;
    // SAFETY: after a fork only raw system calls are allowed; these take numbers.
    unsafe {
        let made = libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0;
        let id = if made { libc::syscall(libc::SYS_shmget, new.key, new.size, how) } else { -1 };
        let status = match id {
            -1 => *libc::__errno_location(),
            id if id == i64::from(new.id) => 0,
            // The number is taken, or somebody else has just made one.
            id => {
                libc::syscall(libc::SYS_shmctl, id, libc::IPC_RMID, 0);
                libc::EEXIST
            }
        };
        loop {
            libc::syscall(libc::SYS_exit_group, status);
        }
    }
}

/// Marks a segment for removal: it goes with its last mapping.
///
/// # Errors
/// Those of shmctl(2).
pub fn remove_segment(id: u32) -> Result<()> {
    control(id, libc::IPC_RMID).map_err(|e| Error::new(format!("remove the segment {id}"), e))
}

/// Keeps a segment in memory (SHM_LOCK).
///
/// # Errors
/// Those of shmctl(2).
pub fn lock_segment(id: u32) -> Result<()> {
    control(id, libc::SHM_LOCK).map_err(|e| Error::new(format!("lock the segment {id}"), e))
}

fn control(id: u32, what: i32) -> io::Result<()> {
    // SAFETY: neither of the commands has an argument.
    check(i64::from(unsafe { libc::shmctl(id as i32, what, std::ptr::null_mut()) })).map(drop)
}

/// Sets whom a segment belongs to, and its permissions (IPC_SET).
///
/// # Errors
/// Those of shmctl(2).
pub fn own_segment(id: u32, uid: u32, gid: u32, mode: u32) -> Result<()> {
    // SAFETY: an all-zero shmid_ds is valid.
    let mut set: libc::shmid_ds = unsafe { std::mem::zeroed() };
    (set.shm_perm.uid, set.shm_perm.gid) = (uid, gid);
    set.shm_perm.mode = mode as _;
    // SAFETY: the kernel reads a live local.
    let done = unsafe { libc::shmctl(id as i32, libc::IPC_SET, &mut set) };
    let doing = || format!("set the owner of the segment {id}");
    check(i64::from(done)).map(drop).map_err(|e| Error::new(doing(), e))
}

/// The file behind a segment of `size` bytes in pages of `page`, for its content only: what maps it is no attachment.
///
/// # Errors
/// Those of shmat(2) and of open(2) on /proc/PID/map_files, which needs CAP_CHECKPOINT_RESTORE.
pub fn open_segment(id: u32, size: u64, page: u64) -> Result<OwnedFd> {
    let fail = |e: io::Error| Error::new(format!("open the segment {id}"), e);
    // SAFETY: the kernel chooses addresses that nothing else has.
    let at = unsafe { libc::shmat(id as i32, std::ptr::null(), 0) };
    if at as isize == -1 {
        return Err(fail(io::Error::last_os_error()));
    }
    let (start, end) = (at as u64, at as u64 + size.next_multiple_of(page));
    let path = format!("/proc/self/map_files/{start:x}-{end:x}");
    let file = File::options().read(true).write(true).open(path);
    // SAFETY: what was attached above, and nobody has a reference into it.
    unsafe { libc::shmdt(at) };
    file.map(OwnedFd::from).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_segment_is_made_as_it_was() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let id = 3 * 32768 + std::process::id() % 30000;
        let new = NewSegment {
            key: 0,
            id,
            size: 10_000,
            mode: 0o640,
            huge: 0,
            creator: [1000, 1001],
            pid: 0,
        };
        assert!(make_segment(&new).unwrap());
        assert!(make_segment(&new).is_err());
        own_segment(id, 5, 6, 0o600).unwrap();
        let file = File::from(open_segment(id, 10_000, 4096).unwrap());
        file.write_all_at(b"held", 8192).unwrap();
        drop(file);
        let mut held = [0; 4];
        File::from(open_segment(id, 10_000, 4096).unwrap()).read_exact_at(&mut held, 8192).unwrap();
        remove_segment(id).unwrap();
        assert_eq!(&held, b"held");
        assert!(open_segment(id, 10_000, 4096).is_err());
    }
}
