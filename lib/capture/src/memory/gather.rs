//! Scattered ranges, brought together in buffers.

use floe_records::{BadRange, MAX_RANGES, PAGE_SIZE, Pid, Ranges};
use floe_sys::{Error, Result};
use std::{collections::VecDeque, fs::File, ops::Range, os::unix::fs::FileExt};

const PAGE: usize = PAGE_SIZE as usize;
static ZERO: [u8; PAGE] = [0; PAGE];

/// Where the bytes are.
pub trait Source {
    /// Fills `into` from ranges (start, bytes), one behind the other.
    fn read(&self, ranges: &[(u64, u32)], into: &mut [u8]) -> Result<()>;
}

/// The memory of a held process.
impl Source for Pid {
    fn read(&self, ranges: &[(u64, u32)], into: &mut [u8]) -> Result<()> {
        floe_sys::read_memory_ranges(self.0 as i32, ranges, into)
    }
}

/// The memory of a process by /proc/PID/mem, which leaves alone what process_vm_readv(2) unshares: that pins pages, and the
/// kernel copies a page that is shared since fork(2) before it is pinned. To a thread that traces the process it shows also
/// what the process itself may not read, on newer kernels to no other one (`proc_mem.force_override=ptrace`).
#[derive(Debug)]
pub struct MemFile(File);

impl MemFile {
    /// Opens /proc/PID/mem.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(pid: Pid) -> Result<Self> {
        let file = File::open(floe_proc::path(pid.0, "mem"));
        Ok(Self(file.map_err(|e| floe_proc::unable(pid.0, "mem", e))?))
    }
}

impl Source for &MemFile {
    fn read(&self, ranges: &[(u64, u32)], mut into: &mut [u8]) -> Result<()> {
        for (at, len) in ranges {
            let (to, rest) = into.split_at_mut(*len as usize);
            let doing = || format!("read {len} bytes of memory at {at:#x}");
            self.0.read_exact_at(to, *at).map_err(|e| Error::new(doing(), e))?;
            into = rest;
        }
        Ok(())
    }
}

/// The content of a file.
impl Source for &File {
    fn read(&self, ranges: &[(u64, u32)], mut into: &mut [u8]) -> Result<()> {
        for (offset, len) in ranges {
            let (to, rest) = into.split_at_mut(*len as usize);
            self.read_exact_at(to, *offset).map_err(|e| Error::new("read a nameless file", e))?;
            into = rest;
        }
        Ok(())
    }
}

/// Fills buffers from ranges, and leaves their pages of zeros out.
pub struct Gather<S> {
    source: S,
    left: VecDeque<Range<u64>>,
}

impl<S: Source> Gather<S> {
    /// Of these ranges, ascending, of whole pages but for the end of the last.
    pub fn new(source: S, ranges: Vec<Range<u64>>) -> Self {
        Self { source, left: ranges.into() }
    }

    /// Fills a buffer of whole pages, at most [`MAX_CONTENT`](floe_records::MAX_CONTENT). Gives the ranges whose bytes are
    /// in it, one behind the other, and how many bytes were read for that. No ranges: nothing is left.
    pub fn fill<const ALIGN: u64>(&mut self, buffer: &mut [u8]) -> Result<(Ranges<ALIGN>, u64)> {
        let (mut ranges, mut used, mut read) = (Ranges::default(), 0, 0);
        loop {
            let batch = self.take(buffer.len() - used);
            let len: usize = batch.iter().map(|(_, len)| *len as usize).sum();
            if len == 0 {
                return Ok((ranges, read));
            }
            let part = &mut buffer[used..used + len];
            self.source.read(&batch, part)?;
            read += len as u64;
            used += keep(&batch, part, &mut ranges)
                .map_err(|e| Error::because("put ranges into a record", e.to_string()))?;
        }
    }

    /// The next ranges that there is room for.
    fn take(&mut self, room: usize) -> Vec<(u64, u32)> {
        let mut room = (room - room % PAGE) as u64;
        let mut batch = Vec::new();
        while let Some(range) =
            self.left.front_mut().filter(|_| room > 0 && batch.len() < MAX_RANGES)
        {
            let len = room.min(range.end - range.start);
            batch.push((range.start, len as u32));
            range.start += len;
            room -= len;
            if range.is_empty() {
                self.left.pop_front();
            }
        }
        batch
    }
}

/// Moves the pages that are not all zero to the front and adds them to `ranges`; says how many bytes they are.
fn keep<const ALIGN: u64>(
    batch: &[(u64, u32)],
    bytes: &mut [u8],
    ranges: &mut Ranges<ALIGN>,
) -> std::result::Result<usize, BadRange> {
    let (mut from, mut to) = (0, 0);
    for &(start, len) in batch {
        for at in (0..len).step_by(PAGE) {
            let page = from..from + PAGE.min((len - at) as usize);
            from = page.end;
            if bytes[page.clone()] == ZERO[..page.len()] {
                continue;
            }
            ranges.push(start + u64::from(at), page.len() as u32)?;
            if to != page.start {
                bytes.copy_within(page.clone(), to);
            }
            to += page.len();
        }
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::{ObjectData, ObjectId};
    use floe_stream::RawRecord;
    use proptest::prelude::*;

    /// A source in which each byte tells its place.
    struct Made<F>(F);

    impl<F: Fn(u64) -> u8> Source for Made<F> {
        fn read(&self, ranges: &[(u64, u32)], into: &mut [u8]) -> Result<()> {
            let all = ranges.iter().flat_map(|(start, len)| *start..*start + u64::from(*len));
            into.iter_mut().zip(all).for_each(|(to, at)| *to = self.0(at));
            Ok(())
        }
    }

    const P: u64 = PAGE_SIZE;

    #[test]
    fn zero_pages_are_left_out_and_the_buffer_is_full_all_the_same() {
        // Each third page is not zero.
        let byte = |at: u64| if (at / P).is_multiple_of(3) { (at / P) as u8 | 1 } else { 0 };
        let mut gather = Gather::new(Made(byte), vec![0..20 * P, 30 * P..31 * P, 33 * P..37 * P]);
        let mut buffer = vec![0; 4 * PAGE];
        let (ranges, read) = gather.fill::<P>(&mut buffer).expect("fill");
        let all = [0, 3, 6, 9].map(|page| (page * P, PAGE as u32));
        assert_eq!(ranges.as_slice(), all);
        assert_eq!(buffer.iter().map(|b| usize::from(*b)).sum::<usize>(), PAGE * (1 + 3 + 7 + 9));
        let (ranges, more) = gather.fill::<P>(&mut buffer).expect("fill");
        assert_eq!(ranges.as_slice(), [12, 15, 18, 30].map(|page| (page * P, PAGE as u32)));
        let (ranges, rest) = gather.fill::<P>(&mut buffer).expect("fill");
        assert_eq!(ranges.as_slice(), [33, 36].map(|page| (page * P, PAGE as u32)));
        assert_eq!(read + more + rest, 25 * P);
        assert!(gather.fill::<P>(&mut buffer).expect("fill").0.is_empty());
    }

    #[test]
    fn the_last_page_of_a_file_may_be_short() {
        let mut gather = Gather::new(Made(|at| u8::from(at >= P)), vec![0..P, P..3 * P + 10]);
        let mut buffer = vec![0; 8 * PAGE];
        let (ranges, read) = gather.fill::<1>(&mut buffer).expect("fill");
        assert_eq!((ranges.as_slice(), read), (&[(P, 2 * PAGE as u32 + 10)][..], 3 * P + 10));
    }

    /// Memory of some pages, zero or not, with a short one at its end; and a run for each stretch that is to be carried.
    fn memory(pages: &[(u8, bool)], tail: usize) -> (Vec<u8>, Vec<Range<u64>>) {
        let mut bytes = Vec::new();
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (n, (byte, carried)) in pages.iter().enumerate() {
            let len = if n + 1 == pages.len() { tail } else { PAGE };
            let start = bytes.len() as u64;
            bytes.resize(bytes.len() + len, 0);
            // One byte of a page is enough to make it one that is sent.
            bytes[start as usize + usize::from(*byte) % len] = *byte;
            match runs.last_mut() {
                _ if !carried => bytes[start as usize..].fill(0),
                Some(last) if last.end == start => last.end += len as u64,
                _ => runs.push(start..start + len as u64),
            }
        }
        (bytes, runs)
    }

    proptest! {
        /// What is gathered into records and put back from them is the same as before.
        #[test]
        fn sparse_memory_comes_back(
            pages in prop::collection::vec((prop_oneof![Just(0u8), any::<u8>()], any::<bool>()), 1..200),
            tail in 1..=PAGE,
            room in 1usize..20,
        ) {
            let (bytes, runs) = memory(&pages, tail);
            let total: u64 = runs.iter().map(|run| run.end - run.start).sum();
            let mut gather = Gather::new(Made(|at| bytes[at as usize]), runs);
            let (mut buffer, mut back, mut all) = (vec![0xee; room * PAGE], vec![0; bytes.len()], 0);
            loop {
                let (ranges, read) = gather.fill(&mut buffer).expect("fill");
                all += read;
                if ranges.is_empty() {
                    break;
                }
                let data = ObjectData { id: ObjectId { dev: 1, ino: 2 }, ranges };
                let data: ObjectData =
                    RawRecord::encode(&data).expect("encode").decode().expect("decode");
                let mut from = &buffer[..data.ranges.bytes() as usize];
                for &(start, len) in data.ranges.as_slice() {
                    let (part, rest) = from.split_at(len as usize);
                    back[start as usize..][..len as usize].copy_from_slice(part);
                    from = rest;
                }
            }
            prop_assert_eq!(all, total);
            prop_assert!(back == bytes);
        }
    }
}
