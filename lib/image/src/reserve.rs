//! Room on the disk, reserved ahead of what is written there.
//!
//! A file system that finds room for a whole extent at once (fallocate(2)) does not do it page by page while bulk is written: on
//! ext4 that is a quarter of the time of writing. Where it cannot, or has not so much room, nothing is reserved; and nothing in
//! memory (tmpfs), where each page that is reserved is allocated one by one, and those not written would be for nothing.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Bytes that are reserved at a time, and from which offset on: a small file is not worth it.
const STEP: u64 = 64 << 20;
const FIRST: u64 = 8 << 20;

/// What is reserved of a file.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// Where it ends; `u64::MAX`: nothing more is to be reserved.
    end: AtomicU64,
}

impl Reserve {
    /// To be called before the bytes in front of `to` are written.
    pub fn reach(&self, file: &File, to: u64) {
        let end = self.end.load(Relaxed);
        if to <= end.max(FIRST) {
            return;
        }
        if end == 0 && is_in_memory(file) {
            self.end.store(u64::MAX, Relaxed);
            return;
        }
        let from = end.max(FIRST);
        let keep_size = nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let next = (to - from).next_multiple_of(STEP);
        let done = nix::fcntl::fallocate(file, keep_size, from as i64, next as i64);
        self.end.store(if done.is_ok() { from + next } else { u64::MAX }, Relaxed);
    }

    /// Gives back what is reserved behind the end of the file.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn trim(&self, file: &File) -> io::Result<()> {
        if self.end.load(Relaxed) == 0 {
            return Ok(());
        }
        file.set_len(file.metadata()?.len())
    }
}

fn is_in_memory(file: &File) -> bool {
    let about = nix::sys::statfs::fstatfs(file);
    about.is_ok_and(|about| about.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    fn blocks(file: &File) -> u64 {
        file.metadata().expect("stat").blocks() * 512
    }

    #[test]
    fn what_is_not_written_is_given_back() {
        let (file, reserve) = (tempfile::tempfile().expect("a file"), Reserve::default());
        reserve.reach(&file, FIRST);
        reserve.trim(&file).expect("nothing to give back");
        assert_eq!(blocks(&file), 0);
        file.write_all_at(b"x", FIRST).expect("write");
        reserve.reach(&file, FIRST + 1);
        assert_eq!(file.metadata().expect("stat").len(), FIRST + 1);
        reserve.trim(&file).expect("give back");
        assert_eq!(file.metadata().expect("stat").len(), FIRST + 1);
        assert!(blocks(&file) < STEP, "{} bytes are kept", blocks(&file));
    }

    #[test]
    fn nothing_is_reserved_in_memory() {
        let (memory, reserve) = (floe_sys::memfd_create(c"reserved", 0), Reserve::default());
        let file = File::from(memory.expect("a file in memory"));
        file.write_all_at(b"x", FIRST).expect("write");
        let before = blocks(&file);
        reserve.reach(&file, FIRST + 1);
        assert_eq!((blocks(&file), reserve.end.load(Relaxed)), (before, u64::MAX));
        reserve.trim(&file).expect("nothing to give back");
    }

    #[test]
    fn what_refuses_is_asked_once() {
        let (pipe, _to) = std::io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let reserve = Reserve::default();
        reserve.reach(&file, FIRST + 1);
        assert_eq!(reserve.end.load(Relaxed), u64::MAX);
        reserve.reach(&file, u64::MAX);
    }
}
