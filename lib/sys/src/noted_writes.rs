//! userfaultfd(2) to see what is written: pages of its ranges can be write-protected, and the kernel notes by itself, in the
//! page, that one has been written to (UFFD_FEATURE_WP_ASYNC). [`crate::pagemap_scan`] protects and tells.

use crate::{Error, Result, check};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Flags with which it is made: O_CLOEXEC, O_NONBLOCK, and UFFD_USER_MODE_ONLY, which an ordinary user may have; none of its
/// faults is ever handed to anybody.
pub const NOTED_WRITES_FLAGS: u64 = (libc::O_CLOEXEC | libc::O_NONBLOCK) as u64 | 1;

const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const API: u64 = 0xaa;
/// UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_WP_UNPOPULATED (what WP_ASYNC stands on) and UFFD_FEATURE_WP_ASYNC.
const FEATURES: u64 = 1 | 1 << 13 | 1 << 15;
/// UFFDIO_REGISTER_MODE_WP.
const WRITES: u64 = 2;

/// Prepares one that has just been made. EINVAL where the kernel has no such notes (before Linux 6.7).
pub fn prepare_to_note_writes(userfault: BorrowedFd<'_>) -> Result<()> {
    let mut api: [u64; 3] = [API, FEATURES, 0];
    // SAFETY: `struct uffdio_api` is three 64-bit words, which this borrows.
    let done = unsafe { libc::ioctl(userfault.as_raw_fd(), UFFDIO_API as _, api.as_mut_ptr()) };
    check(done as i64).map_err(|e| Error::new("have userfaultfd note what is written", e))?;
    Ok(())
}

/// Whether the kernel notes what is written, and this process may ask for it.
pub fn notes_writes() -> bool {
    // SAFETY: numbers only. Nothing of our memory is registered with it.
    let made = check(unsafe { libc::syscall(libc::SYS_userfaultfd, NOTED_WRITES_FLAGS) });
    made.is_ok_and(|fd| {
        // SAFETY: it has just been made, and nobody else knows it.
        let userfault = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        prepare_to_note_writes(userfault.as_fd()).is_ok()
    })
}

/// Has it watch a range of the memory that it belongs to; it may do so already. EBUSY where another one does.
pub fn note_writes(userfault: BorrowedFd<'_>, start: u64, end: u64) -> io::Result<()> {
    let mut register: [u64; 4] = [start, end - start, WRITES, 0];
    let at = register.as_mut_ptr();
    // SAFETY: `struct uffdio_register` is four 64-bit words, which this borrows.
    check(unsafe { libc::ioctl(userfault.as_raw_fd(), UFFDIO_REGISTER as _, at) } as i64)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PageQuery, PageRegion, page_is, pagemap_scan};

    const PAGE: usize = 4096;

    fn userfault() -> OwnedFd {
        // SAFETY: it makes a descriptor, which nobody else knows.
        unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, NOTED_WRITES_FLAGS) as i32;
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        }
    }

    /// What the kernel says of memory that was protected, in each way in which it can come to be another one.
    #[test]
    fn what_is_written_is_noted() {
        let userfault = userfault();
        if let Err(error) = prepare_to_note_writes(userfault.as_fd()) {
            eprintln!("SKIPPED: this kernel cannot: {error}");
            return;
        }
        let len = 64 * PAGE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory; all that is done to it is done by the calls of this test, within its bounds.
        let at = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), len, 3, flags, -1, 0);
            libc::madvise(at, len, libc::MADV_NOHUGEPAGE);
            at.cast::<u8>()
        };
        // SAFETY: as above.
        let write = |page: usize| unsafe { at.add(page * PAGE).write_volatile(7) };
        (0..32).for_each(write);
        let (start, end) = (at as u64, at as u64 + len as u64);
        note_writes(userfault.as_fd(), start, end).expect("watch");
        note_writes(userfault.as_fd(), start, end).expect("again");
        let pagemap = std::fs::File::open("/proc/self/pagemap").expect("pagemap");
        let scan = |query: PageQuery| {
            let mut found = [PageRegion::default(); 64];
            let (count, _) =
                pagemap_scan(pagemap.as_fd(), start, end, query, &mut found).expect("scan");
            found[..count].iter().map(|run| (run.end - run.start) as usize / PAGE).sum::<usize>()
        };
        let own = page_is::PRESENT | page_is::SWAPPED;
        let clean = || {
            let (inverted, all) = (page_is::WRITTEN, page_is::WRITTEN | page_is::WPALLOWED);
            scan(PageQuery { inverted, all, any: own, report: 0, protect: false })
        };
        assert_eq!(clean(), 0, "nothing is protected yet");
        let all = page_is::WRITTEN;
        let protected = scan(PageQuery { inverted: 0, all, any: own, report: 0, protect: true });
        assert_eq!((protected, clean()), (32, 32), "what is not there is not protected");
        [0, 40, 5].into_iter().for_each(write);
        assert_eq!(clean(), 30);
        // SAFETY: as above.
        unsafe { libc::madvise(at.add(10 * PAGE).cast(), PAGE, libc::MADV_DONTNEED) };
        assert_eq!(clean(), 29, "what is gone is not as it was");
        write(10);
        assert_eq!(clean(), 29);
        let memory = std::fs::OpenOptions::new().write(true).open("/proc/self/mem").expect("mem");
        std::os::unix::fs::FileExt::write_all_at(&memory, b"x", start + 9 * PAGE as u64)
            .expect("write");
        assert_eq!(clean(), 28, "a write by the kernel");
        // SAFETY: as above; nothing else is at the place that it goes to, for it is a mapping of its own.
        unsafe {
            let to = libc::mmap(std::ptr::null_mut(), 4 * PAGE, 0, flags, -1, 0);
            let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            libc::mremap(at.add(12 * PAGE).cast(), 4 * PAGE, 4 * PAGE, how, to);
            let new =
                libc::mmap(at.add(12 * PAGE).cast(), 4 * PAGE, 3, flags | libc::MAP_FIXED, -1, 0);
            assert_eq!(new, at.add(12 * PAGE).cast());
        }
        (12..16).for_each(write);
        assert_eq!(clean(), 24, "another mapping at the same place");
        drop(userfault);
        // A child of another test may have it open for a moment.
        for _ in 0..500 {
            if clean() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("nobody watches any more, and {} pages are said to be as they were", clean());
    }
}
