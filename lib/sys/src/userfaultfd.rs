//! userfaultfd(2): pages of another process that are put into place when it touches them, or before.

use crate::{Error, Result, check, descriptors::made, pidfd_getfd};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    result::Result as Either,
};

/// UFFDIO_API, UFFDIO_REGISTER, UFFDIO_WAKE, UFFDIO_COPY, UFFDIO_ZEROPAGE and UFFDIO_POISON of linux/userfaultfd.h.
const API: u64 = 0xc018_aa3f;
const REGISTER: u64 = 0xc020_aa00;
const WAKE: u64 = 0x8010_aa02;
const COPY: u64 = 0xc028_aa03;
const ZERO: u64 = 0xc020_aa04;
const POISON: u64 = 0xc020_aa08;
/// UFFD_API.
const VERSION: u64 = 0xaa;
/// UFFD_FEATURE_EVENT_FORK, _REMAP, _REMOVE and _UNMAP.
const FEATURES: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6;
/// UFFDIO_REGISTER_MODE_MISSING.
const MISSING: u64 = 1;
/// Words of `struct uffd_msg`, and how many are read at once.
const MESSAGE: usize = 4;
const MESSAGES: usize = 16;
/// What /proc/PID/fd shows of one.
const LINK: &str = "anon_inode:[userfaultfd]";

/// Flags of userfaultfd(2) for a process whose faults in kernel mode wait as well.
pub const USERFAULTFD_FLAGS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK;

/// What has happened in the memory of a process that is watched. All but a fault wait until they have been read.
#[derive(Debug)]
pub enum MemoryEvent {
    /// A thread waits for the page at this address.
    Fault(u64),
    /// It has forked: its child is watched by this.
    Fork(Userfaultfd),
    /// Pages are at another address: from, to, bytes (mremap(2)).
    Remap(u64, u64, u64),
    /// Pages from the first to the second address were dropped (MADV_DONTNEED and the like).
    Remove(u64, u64),
    /// There is no memory any more from the first to the second address.
    Unmap(u64, u64),
}

/// Why pages are not put into place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotPut {
    /// Something has happened that must be read first.
    Later,
    /// The first page is there already.
    Present,
    /// Memory that is watched does not begin there, or ends before.
    NoMemory,
    /// The process has ended, or runs another program.
    Gone,
}

/// Watches the memory of another process.
#[derive(Debug)]
pub struct Userfaultfd(OwnedFd);

/// Whether this process may make one whose faults in kernel mode wait as well (CAP_SYS_PTRACE), and be told of fork(2).
///
/// # Errors
/// EPERM where it may not, ENOSYS or EINVAL where the kernel cannot.
pub fn may_watch_memory() -> Result<()> {
    let fail = |e| Error::new("watch memory (userfaultfd(2))", e);
    // SAFETY: numbers only. Nothing of our memory is registered with it.
    let fd = made(unsafe { libc::syscall(libc::SYS_userfaultfd, USERFAULTFD_FLAGS) });
    handshake(fd.map_err(fail)?.as_fd()).map_err(fail)
}

fn handshake(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut api = [VERSION, FEATURES, 0];
    // SAFETY: the structure has three words, which the kernel reads and writes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), API as _, api.as_mut_ptr()) }.into()).map(drop)
}

impl Userfaultfd {
    /// Takes the one that the process behind `pidfd` has made under this number, by [`USERFAULTFD_FLAGS`].
    pub fn take(pidfd: BorrowedFd<'_>, number: i32) -> Result<Self> {
        let fd = pidfd_getfd(pidfd, number)?;
        handshake(fd.as_fd()).map_err(|e| Error::new("watch its memory (userfaultfd(2))", e))?;
        Ok(Self(fd))
    }

    /// Those that a process has left open which had our table of descriptors in common with us and has ended: all that there are.
    ///
    /// # Errors
    /// Where /proc cannot be read.
    pub fn left_open() -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let path = entry?.path();
            // The descriptor of the directory itself is gone when it has been read.
            let is_one = std::fs::read_link(&path).is_ok_and(|link| link.as_os_str() == LINK);
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(number) = number.filter(|_| is_one) {
                // SAFETY: it is open, and who has opened it has ended.
                all.push(Self(unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        Ok(all)
    }

    /// Watches the memory from `start` on: who touches a page that is missing waits for it.
    pub fn register(&self, start: u64, len: u64) -> io::Result<()> {
        let mut words = [start, len, MISSING, 0];
        // SAFETY: the structure has four words, which the kernel reads and writes.
        check(unsafe { libc::ioctl(self.number(), REGISTER as _, words.as_mut_ptr()) }.into())
            .map(drop)
    }

    /// Has those who wait for pages there look again.
    pub fn wake(&self, start: u64, len: u64) -> io::Result<()> {
        let words = [start, len];
        // SAFETY: the structure has two words, which the kernel reads.
        check(unsafe { libc::ioctl(self.number(), WAKE as _, words.as_ptr()) }.into()).map(drop)
    }

    /// Puts pages into place at `to` and has those who wait for them go on. Gives how many bytes were put there, at least a page.
    ///
    /// # Errors
    /// What keeps the first page from its place; other errors stand in the outer result.
    pub fn copy(&self, to: u64, from: &[u8]) -> io::Result<Either<u64, NotPut>> {
        self.put(COPY, [to, from.as_ptr() as u64, from.len() as u64, 0, 0], 4)
    }

    /// The same of pages of zeros.
    pub fn zero(&self, to: u64, len: u64) -> io::Result<Either<u64, NotPut>> {
        self.put(ZERO, [to, len, 0, 0, 0], 3)
    }

    /// From now on who touches these pages gets SIGBUS (Linux 6.6).
    pub fn poison(&self, at: u64, len: u64) -> io::Result<Either<u64, NotPut>> {
        self.put(POISON, [at, len, 0, 0, 0], 3)
    }

    /// A request whose structure has at `told` how many bytes were done, or the error of the first page.
    fn put(
        &self,
        request: u64,
        mut words: [u64; 5],
        told: usize,
    ) -> io::Result<Either<u64, NotPut>> {
        // SAFETY: the kernel reads and writes no more than these five words, and reads what a slice of ours points to. It writes
        // pages only where there are none, and into memory of a process that has made the descriptor, which is not ours.
        let result =
            check(unsafe { libc::ioctl(self.number(), request as _, words.as_mut_ptr()) }.into());
        let count = words[told] as i64;
        if count > 0 {
            return Ok(Ok(count as u64));
        }
        let Err(error) = result else { return Ok(Err(NotPut::Later)) };
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(Err(NotPut::Later)),
            Some(libc::EEXIST) => Ok(Err(NotPut::Present)),
            Some(libc::ENOENT) => Ok(Err(NotPut::NoMemory)),
            Some(libc::ESRCH) => Ok(Err(NotPut::Gone)),
            _ => Err(error),
        }
    }

    /// What has happened since; empty where nothing has.
    pub fn events(&self) -> io::Result<Vec<MemoryEvent>> {
        let mut words = [0u64; MESSAGE * MESSAGES];
        let room = size_of_val(&words);
        // SAFETY: the kernel writes no more bytes than there is room for.
        let read =
            check(unsafe { libc::read(self.number(), words.as_mut_ptr().cast(), room) } as i64);
        let read = match read {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            read => read? as usize,
        };
        let messages = words.as_chunks::<MESSAGE>().0[..read / size_of::<[u64; MESSAGE]>()].iter();
        messages.map(event).collect()
    }

    fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A message: its kind is the first byte, and what it says stands in the words behind the first.
fn event(words: &[u64; MESSAGE]) -> io::Result<MemoryEvent> {
    let [kind, first, second, third] = *words;
    match kind as u8 {
        0x12 => Ok(MemoryEvent::Fault(second)),
        // SAFETY: the kernel has just made it for us.
        0x13 => Ok(MemoryEvent::Fork(Userfaultfd(unsafe {
            OwnedFd::from_raw_fd(first as u32 as RawFd)
        }))),
        0x14 => Ok(MemoryEvent::Remap(first, second, third)),
        0x15 => Ok(MemoryEvent::Remove(first, second)),
        0x16 => Ok(MemoryEvent::Unmap(first, second)),
        kind => Err(io::Error::other(format!("an event of memory of unknown kind {kind:#x}"))),
    }
}

impl AsFd for Userfaultfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
