//! Transfers with vectors, with a child as the other process.

use floe_sys::*;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use nix::sys::{
    prctl::set_pdeathsig,
    signal::{Signal, kill},
    wait::waitpid,
};
use nix::unistd::{ForkResult, Pid, fork, pause};
use std::{num::NonZeroUsize, slice};

const PAGE: usize = 4096;

/// A child that holds pages of memory, each full of its number.
struct Memory {
    child: Pid,
    at: u64,
}

impl Memory {
    /// Pages with these protections, the others readable and writable.
    fn new(pages: usize, protections: &[(usize, ProtFlags)]) -> Self {
        let len = NonZeroUsize::new(pages * PAGE).expect("pages");
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping where the kernel wants it.
        let at = unsafe { mmap_anonymous(None, len, prot, MapFlags::MAP_PRIVATE) }.expect("mmap");
        // SAFETY: the mapping is that long, and nobody else knows of it.
        let bytes = unsafe { slice::from_raw_parts_mut(at.as_ptr().cast::<u8>(), len.get()) };
        bytes.chunks_mut(PAGE).enumerate().for_each(|(page, bytes)| bytes.fill(page as u8));
        for &(page, prot) in protections {
            // SAFETY: a page of that mapping; nobody has a reference to it any more.
            unsafe { mprotect(at.add(page * PAGE), PAGE, prot) }.expect("mprotect");
        }
        // SAFETY: the child makes nothing but system calls.
        let child = match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let _ = set_pdeathsig(Signal::SIGKILL);
                loop {
                    pause();
                }
            }
        };
        // SAFETY: the same mapping; the child has its own.
        unsafe { munmap(at, len.get()) }.expect("munmap");
        Self { child, at: at.as_ptr() as u64 }
    }

    fn pid(&self) -> i32 {
        self.child.as_raw()
    }

    fn at(&self, page: usize) -> u64 {
        self.at + (page * PAGE) as u64
    }

    /// Ranges of some pages.
    fn ranges(&self, pages: impl IntoIterator<Item = usize>) -> Vec<(u64, u32)> {
        pages.into_iter().map(|page| (self.at(page), PAGE as u32)).collect()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        kill(self.child, Signal::SIGKILL).expect("kill");
        waitpid(self.child, None).expect("waitpid");
    }
}

#[test]
fn more_ranges_than_one_call_takes() {
    let memory = Memory::new(5000, &[]);
    let ranges = memory.ranges((0..5000).step_by(2));
    let mut bytes = vec![0; 2500 * PAGE];
    read_memory_ranges(memory.pid(), &ranges, &mut bytes).expect("read");
    for (n, page) in bytes.chunks(PAGE).enumerate() {
        assert!(page.iter().all(|byte| *byte == (2 * n) as u8), "page {n}");
    }
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    write_memory_ranges(memory.pid(), &ranges, &bytes).expect("write");
    let mut all = vec![0; 5000 * PAGE];
    read_memory(memory.pid(), memory.at(0), &mut all).expect("read");
    for (n, page) in all.chunks(PAGE).enumerate() {
        let want = if n % 2 == 0 { !(n as u8) } else { n as u8 };
        assert!(page.iter().all(|byte| *byte == want), "page {n}");
    }
}

#[test]
fn what_is_protected_takes_the_forced_way_and_the_rest_does_not() {
    let none = ProtFlags::PROT_NONE;
    let memory = Memory::new(16, &[(3, none), (4, none), (9, none), (12, ProtFlags::PROT_READ)]);
    // One range over protected pages, and ranges of a page.
    let ranges =
        [memory.ranges([0, 1]), vec![(memory.at(2), 4 * PAGE as u32)], memory.ranges(8..14)];
    let ranges = ranges.concat();
    let mut bytes = vec![0xff; 12 * PAGE];
    let partial = read_memory_ranges_partial(memory.pid(), &ranges, &mut bytes).expect("partial");
    assert_eq!(partial, 3 * PAGE, "up to the first that nobody may read");
    read_memory_ranges(memory.pid(), &ranges, &mut bytes).expect("read");
    let pages: Vec<usize> = bytes.chunks(PAGE).map(|page| page[PAGE - 1].into()).collect();
    assert_eq!(pages, [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]);
    bytes.fill(77);
    write_memory_ranges(memory.pid(), &ranges, &bytes).expect("write");
    bytes.fill(0);
    read_memory_ranges(memory.pid(), &ranges, &mut bytes).expect("read again");
    assert!(bytes.iter().all(|byte| *byte == 77));
}

#[test]
fn what_is_not_there_is_an_error() {
    let memory = Memory::new(4, &[]);
    let mut bytes = vec![0; 3 * PAGE];
    let ranges = [memory.ranges([0]), vec![(0, PAGE as u32)], memory.ranges([2])].concat();
    let error = read_memory_ranges(memory.pid(), &ranges, &mut bytes).expect_err("nothing is at 0");
    assert!(error.to_string().contains("read 4096 bytes of memory at 0x0"), "{error}");
    write_memory_ranges(memory.pid(), &ranges, &bytes).expect_err("nothing is at 0");
    let short = read_memory_ranges(memory.pid(), &memory.ranges([1]), &mut bytes);
    short.expect_err("more buffer than ranges");
}
