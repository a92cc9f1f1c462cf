//! Instances of io_uring (io_uring_setup(2)).

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

/// IORING_OFF_SQ_RING: both rings.
pub const RINGS: u64 = 0;
/// IORING_OFF_SQES.
pub const SQES: u64 = 0x1000_0000;
/// IORING_SETUP_CQSIZE.
const SIZED: u32 = 1 << 3;
/// Size of `struct io_uring_params`.
const PARAMS: usize = 120;
const REGISTER_FILES: i32 = 2;
const REGISTER_EVENTFD: i32 = 4;
const REGISTER_RESTRICTIONS: i32 = 11;
const REGISTER_PBUF_RING: i32 = 22;
const REGISTER_PBUF_STATUS: i32 = 26;
/// IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG.
const WAIT: i32 = 1 | 1 << 3;
/// Where nothing is ever mapped.
const NOWHERE: u64 = 1;
const PAGE: usize = 4096;

/// Where things are in the memory of both rings, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingPlaces {
    /// Where the kernel takes the next request, which it writes.
    pub sq_head: usize,
    /// Where the program puts the next request, which it writes.
    pub sq_tail: usize,
    /// Requests that were none.
    pub sq_dropped: usize,
    /// Indices of requests, if there are any.
    pub array: usize,
    /// Where the program takes the next completion, which it writes.
    pub cq_head: usize,
    /// Where the kernel puts the next completion, which it writes.
    pub cq_tail: usize,
    /// Completions that were lost.
    pub cq_overflow: usize,
    /// Flags that the program sets.
    pub cq_flags: usize,
    /// The completions.
    pub cqes: usize,
}

/// A new instance, and where things are in it. It has as many entries as are asked for, which must be powers of two.
///
/// # Errors
/// Those of io_uring_setup(2).
pub fn io_uring_setup(sq: u32, cq: u32, flags: u32) -> Result<(OwnedFd, RingPlaces)> {
    let fail = |e| Error::new("make an io_uring instance", e);
    let mut params = [0u32; PARAMS / 4];
    (params[1], params[2]) = (cq, flags | SIZED);
    // SAFETY: the kernel reads and writes a live local of the size of its structure.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, sq, params.as_mut_ptr()) };
    let fd = check(fd).map_err(fail)?;
    // SAFETY: the descriptor is new, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    if (params[0], params[1]) != (sq, cq) {
        let why = format!("the kernel makes one of {} and {} entries", params[0], params[1]);
        return Err(Error::because("make an io_uring instance", why));
    }
    // `struct io_sqring_offsets` is behind ten words, `struct io_cqring_offsets` behind ten more.
    let place = |n: usize| params[n] as usize;
    let places = RingPlaces {
        sq_head: place(10),
        sq_tail: place(11),
        sq_dropped: place(15),
        array: place(16),
        cq_head: place(20),
        cq_tail: place(21),
        cq_overflow: place(24),
        cqes: place(25),
        cq_flags: place(26),
    };
    Ok((fd, places))
}

/// What an instance answers to calls that can do nothing: error numbers, 0 for success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingAnswers {
    /// No restrictions, to an instance that takes restrictions only while it is not enabled.
    pub restrictions: i32,
    /// An eventfd from where nothing is.
    pub eventfd: i32,
    /// A wait for nothing, for a time from where nothing is.
    pub wait: i32,
}

/// Asks an instance what only its answers tell. Nothing of it changes, but that one with IORING_SETUP_IOPOLL looks whether requests have
/// ended.
pub fn io_uring_answers(ring: BorrowedFd<'_>) -> RingAnswers {
    let fd = ring.as_raw_fd();
    let errno = |result: libc::c_long| {
        check(result).map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |_| 0)
    };
    let register = |what: i32, arg: u64, count: u32| {
        // SAFETY: the kernel reads nothing of ours: nothing is at these addresses.
        errno(unsafe { libc::syscall(libc::SYS_io_uring_register, fd, what, arg, count) })
    };
    // `struct io_uring_getevents_arg`: no signal mask, and a time-out from nowhere. Older kernels do not look for that where nothing is to
    // be waited for; to them a word is wrong that is the least time of a wait to newer ones.
    let wait = [0, 1 << 32, NOWHERE];
    let (at, len) = (wait.as_ptr(), size_of_val(&wait));
    // SAFETY: the kernel reads a live local of the size of its structure.
    let wait = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, 0, 0, WAIT, at, len) };
    RingAnswers {
        restrictions: register(REGISTER_RESTRICTIONS, 0, 0),
        eventfd: register(REGISTER_EVENTFD, NOWHERE, 1),
        wait: errno(wait),
    }
}

/// Groups of provided buffers that an instance has.
pub fn io_uring_buffer_groups(ring: BorrowedFd<'_>) -> u32 {
    let ask = |what: i32, at: u64| {
        let fd = ring.as_raw_fd();
        // SAFETY: what is asked with is a live local of the size of the kernel's structure, which may be written to, or nowhere.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, what, at, 1) };
        check(done).map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |_| 0)
    };
    let tells = ask(REGISTER_PBUF_STATUS, NOWHERE) == libc::EFAULT;
    let has = |group: &u16| {
        if tells {
            // `struct io_uring_buf_status`.
            let mut status = [0u32; 10];
            status[0] = u32::from(*group);
            // EINVAL says that there is one of the older sort.
            return ask(REGISTER_PBUF_STATUS, status.as_mut_ptr() as u64) != libc::ENOENT;
        }
        // Kernels before 6.8: `struct io_uring_buf_reg` for a ring of one entry where no page is. What there is already is in the way.
        let wanted = [PAGE as u64, 1 | u64::from(*group) << 32, 0, 0, 0];
        ask(REGISTER_PBUF_RING, wanted.as_ptr() as u64) != libc::EFAULT
    };
    (0..=u16::MAX).filter(has).count() as u32
}

/// The memory of an instance behind one of its offsets, as far as there is any, at most this many bytes.
///
/// # Errors
/// EINVAL for one whose memory is the program's (IORING_SETUP_NO_MMAP).
pub fn io_uring_memory(ring: BorrowedFd<'_>, offset: u64, most: usize) -> Result<Vec<u8>> {
    let mapped = Mapped::new(ring, offset, most, libc::PROT_READ)?;
    let mut bytes = vec![0; mapped.len];
    let mut done = 0;
    // The kernel maps what there is, and to touch what is behind it would be SIGBUS.
    while done < bytes.len() {
        let at = mapped.at as u64 + done as u64;
        let own = std::process::id() as i32;
        let page = &mut bytes[done..done + PAGE];
        match crate::read_memory_partial(own, at, page) {
            Ok(PAGE) => done += PAGE,
            _ => break,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Brings the counters of a new instance to where they were: as many requests that do nothing are taken, and as many completions
/// come, of which those before `cq_head` are taken away. What it then holds is of no use.
///
/// # Errors
/// Those of io_uring_enter(2).
pub fn io_uring_count(
    ring: BorrowedFd<'_>,
    places: &RingPlaces,
    (sq, cq): (u32, u32),
    taken: u32,
    cq_head: u32,
) -> Result<()> {
    let fail = |e| Error::new("count up the requests of an io_uring instance", e);
    let mapped = Mapped::new(ring, RINGS, PAGE, libc::PROT_READ | libc::PROT_WRITE)?;
    let (tail, head) = (mapped.word(places.sq_tail)?, mapped.word(places.cq_head)?);
    let waiting = taken.wrapping_sub(cq_head);
    let (mut left, mut at) = (taken, 0u32);
    while left > 0 {
        // Those that wait at the end are not taken away: the kernel keeps in mind how many it has room for.
        let early = left.saturating_sub(waiting);
        let first = if early > 0 { at } else { cq_head };
        head.store(first, SeqCst);
        let room = cq - at.wrapping_sub(first).min(cq);
        let some = if early > 0 { early } else { left }.min(sq).min(room);
        at = at.wrapping_add(some);
        tail.store(at, SeqCst);
        // SAFETY: numbers only; the requests are zeros, which do nothing.
        let done =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), some, 0, 0, 0, 0) };
        if check(done).map_err(fail)? != i64::from(some) {
            return Err(fail(io::ErrorKind::WriteZero.into()));
        }
        left -= some;
    }
    head.store(cq_head, SeqCst);
    let counted = (mapped.word(places.sq_head)?, mapped.word(places.cq_tail)?);
    if (counted.0.load(SeqCst), counted.1.load(SeqCst)) != (taken, taken) {
        return Err(fail(io::ErrorKind::InvalidData.into()));
    }
    Ok(())
}

/// Registers files with an instance that has none: a descriptor of this process for each place, -1 for one that is empty.
///
/// # Errors
/// Those of io_uring_register(2).
pub fn io_uring_register_files(ring: BorrowedFd<'_>, files: &[i32]) -> Result<()> {
    let (fd, at, count) = (ring.as_raw_fd(), files.as_ptr(), files.len());
    // SAFETY: the kernel reads a live array of that length.
    let done = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_FILES, at, count) };
    check(done).map(drop).map_err(|e| Error::new("register files with an io_uring instance", e))
}

/// Memory of an instance, mapped here.
struct Mapped {
    at: *mut libc::c_void,
    len: usize,
}

impl Mapped {
    fn new(ring: BorrowedFd<'_>, offset: u64, most: usize, prot: i32) -> Result<Self> {
        let fail = |e| Error::new("map an io_uring instance", e);
        let len = most.next_multiple_of(PAGE);
        let (none, fd) = (std::ptr::null_mut(), ring.as_raw_fd());
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(none, len, prot, libc::MAP_SHARED, fd, offset as i64) };
        if at == libc::MAP_FAILED {
            return Err(fail(io::Error::last_os_error()));
        }
        Ok(Self { at, len })
    }

    /// A word that the kernel shares.
    fn word(&self, offset: usize) -> Result<&AtomicU32> {
        if offset + 4 > PAGE.min(self.len) || !offset.is_multiple_of(4) {
            return Err(Error::because("use an io_uring instance", "it has an unknown form"));
        }
        // SAFETY: inside of the first page of the mapping, which the kernel always has, aligned, and mapped as long as `self` is.
        Ok(unsafe { AtomicU32::from_ptr(self.at.byte_add(offset).cast()) })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and what refers to it borrows `self`.
        unsafe { libc::munmap(self.at, self.len) };
    }
}
