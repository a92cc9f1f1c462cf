//! Bulk that crosses a pipe without a copy, by vmsplice(2).
//!
//! vmsplice puts references to pages of this process into the pipe. A page must not be written to again before the reader
//! has copied it, and neither vmsplice(2) nor any event tells when that is. What makes it safe here:
//!
//! 1. The reader copies. It holds the lock of a floe tool (`hangup.rs`), and floe tools only read(2) from a pipe. A
//!    foreign reader may move pages on by splice(2) or tee(2) and look at them later: it gets copies.
//! 2. A pipe is first in, first out, and FIONREAD is the number of its unread bytes (pipe(7)). If at least that many bytes
//!    have been written behind a page as are unread, the page itself has been read. read(2) copies a page before it
//!    takes its bytes off the count, and the kernel does both under the lock of the pipe that FIONREAD takes as well.
//! 3. Other writers to the pipe only make the count larger, which errs on the safe side. So does a change of the size of
//!    the pipe, or of the number of pages that one slot of it holds: neither enters the argument.
//!
//! 4. The buffers are mappings of their own, which are unmapped and not given back to the allocator: it would write to
//!    pages that the pipe still holds.
//!
//! A buffer for which the second does not hold yet is not reused; bulk is then copied from a buffer of its own.
//! If the reader is killed and another one inherits its pipe, the lock is gone and the next bulk is copied. Pages that
//! were already in the pipe may then be seen changed, by a reader of a stream without its start; its checksum fails.

use crate::{Out, Output, hangup};
use floe_stream::Check;
use floe_sys::PrivateMemory;
use std::{ops::Range, os::fd::AsFd};

/// Bytes of a buffer.
const PIECE: usize = 256 << 10;
/// Buffers whose pages go into the pipe: all but one hold more than a pipe of 1 MiB, so one is free at any time.
const PIECES: usize = 6;
/// The buffer that is only ever copied from.
const COPIED: usize = PIECES;

/// Buffers for bulk, of which whole ones are written without a copy.
pub struct ZeroCopyWriter {
    memory: PrivateMemory,
    current: usize,
    /// Where in the stream the pages of each buffer end, once they are in the pipe.
    ends: [u64; PIECES],
}

impl ZeroCopyWriter {
    /// Maps its buffers.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new() -> floe_sys::Result<Self> {
        let memory = PrivateMemory::new((PIECES + 1) * PIECE)?;
        Ok(Self { memory, current: 0, ends: [0; PIECES] })
    }

    /// A buffer of 256 KiB to fill.
    pub fn buffer(&mut self) -> &mut [u8] {
        let piece = self.piece(0..PIECE);
        &mut self.memory[piece]
    }

    fn piece(&self, part: Range<usize>) -> Range<usize> {
        let start = self.current * PIECE;
        start + part.start..start + part.end
    }

    /// Writes a part of the buffer as one bulk string. [`ZeroCopyWriter::buffer`] is another one afterwards if the whole
    /// of it was written.
    ///
    /// # Errors
    /// Those of the stream; `out` is of no use afterwards.
    pub fn bulk(&mut self, out: &mut Out, part: Range<usize>) -> anyhow::Result<()> {
        let whole = part == (0..PIECE);
        let bytes = &self.memory[self.piece(part)];
        if !whole {
            return Ok(out.bulk(bytes)?);
        }
        if self.current == COPIED || !takes_copies(out.get_ref()) {
            out.bulk(bytes)?;
        } else {
            share(out, bytes)?;
            self.ends[self.current] = out.offset();
        }
        self.current = self.free(out)?;
        Ok(())
    }

    /// A buffer that no page in the pipe refers to.
    fn free(&self, out: &mut Out) -> anyhow::Result<usize> {
        // A pipe that does not tell how much is in it may hold everything.
        let unread = floe_sys::pipe_queued(out.sink()?.as_fd()).map_or(u64::MAX, |n| n as u64);
        Ok(read_buffer(&self.ends, out.offset(), unread).unwrap_or(COPIED))
    }
}

/// The buffer that went into the pipe first, if enough bytes have been written behind it that it has been read.
fn read_buffer(ends: &[u64], written: u64, unread: u64) -> Option<usize> {
    let (oldest, end) = ends.iter().enumerate().min_by_key(|(_, end)| **end)?;
    (*end == 0 || written.saturating_sub(*end) >= unread).then_some(oldest)
}

/// One bulk string, by reference.
fn share(out: &mut Out, bytes: &[u8]) -> anyhow::Result<()> {
    let mut check = Check::default();
    check.update(bytes);
    out.bulk_head(bytes.len() as u64)?;
    let sink = out.sink()?;
    let mut left = bytes;
    while !left.is_empty() {
        let taken = sink.vmsplice(left)?;
        left = &left[taken..];
    }
    out.bulk_elsewhere(check.digest());
    Ok(())
}

/// Whether it is a pipe that a floe tool reads.
fn takes_copies(out: &Output) -> bool {
    crate::ends::is_pipe(out.as_fd()) && hangup::read_by_floe(out.as_fd()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;
    use floe_records::{ObjectData, ObjectId, Ranges};
    use floe_stream::{Item, Reader, Source, Writer};
    use floe_tests::made;
    use std::{io::pipe, os::fd::OwnedFd, thread, time::Duration};

    const COUNT: usize = 64;

    /// Bytes that differ in every word of every buffer.
    fn fill(n: usize, buffer: &mut [u8]) {
        buffer.chunks_mut(8).enumerate().for_each(|(at, word)| {
            word.copy_from_slice(&((n << 32 | at) as u64).to_ne_bytes()[..word.len()]);
        });
    }

    /// A pipe of this size whose reader holds the lock of a floe tool, or does not.
    fn pipe_of(size: usize, floe: bool) -> (OwnedFd, Out) {
        let (from, to) = pipe().unwrap();
        let (from, to) = (OwnedFd::from(from), OwnedFd::from(to));
        floe_sys::set_pipe_size(to.as_fd(), size).unwrap();
        if floe {
            floe_sys::flock_shared(from.as_fd()).unwrap();
        }
        let mut out = Writer::new(Output::from(to));
        out.record(&made::begin()).unwrap();
        (from, out)
    }

    fn write(writer: &mut ZeroCopyWriter, out: &mut Out, n: usize, len: usize) {
        fill(n, writer.buffer());
        let mut ranges = Ranges::default();
        ranges.push((n * PIECE) as u64, len as u32).unwrap();
        out.record(&ObjectData { id: ObjectId { dev: 1, ino: 1 }, ranges }).unwrap();
        writer.bulk(out, 0..len).unwrap();
    }

    /// Reads all of it by the given read; every bulk string must be the one that was written.
    fn expect(from: impl Source, count: usize) {
        let mut reader = Reader::new(from);
        let mut want = vec![0; PIECE];
        let mut n = 0;
        loop {
            match reader.next().unwrap() {
                Item::Record(_) => {}
                Item::Bulk(len) => {
                    fill(n, &mut want);
                    let mut got = vec![0; len as usize];
                    if n % 10 == 0 {
                        thread::sleep(Duration::from_millis(5));
                    }
                    reader.read_bulk(&mut got).unwrap();
                    assert!(got == want[..len as usize], "piece {n}");
                    n += 1;
                }
                Item::End => break,
            }
        }
        assert_eq!(n, count);
    }

    /// What is written to a pipe of this size arrives as it was.
    fn passes(size: usize, floe: bool) {
        let (from, mut out) = pipe_of(size, floe);
        let writer = thread::spawn(move || {
            let mut writer = ZeroCopyWriter::new().unwrap();
            for n in 0..COUNT {
                // Every third piece is not whole.
                write(&mut writer, &mut out, n, if n % 3 == 0 { PIECE - 8 } else { PIECE });
            }
            assert_eq!(writer.ends.iter().any(|end| *end > 0), floe);
            out.end().unwrap();
        });
        expect(Input::from(from), COUNT);
        writer.join().unwrap();
    }

    #[test]
    fn pages_arrive_as_they_were() {
        passes(1 << 20, true);
    }

    #[test]
    fn a_small_pipe_will_do() {
        passes(4096, true);
    }

    #[test]
    fn a_buffer_is_free_when_it_has_been_read() {
        assert_eq!(read_buffer(&[0, 0], 0, 0), Some(0));
        assert_eq!(read_buffer(&[500, 0], 500, 500), Some(1));
        // 600 bytes were written behind the older one, 500 behind the other.
        assert_eq!(read_buffer(&[500, 400], 1000, 600), Some(1));
        assert_eq!(read_buffer(&[500, 400], 1000, 601), None);
        assert_eq!(read_buffer(&[500, 400], 1000, u64::MAX), None);
    }

    #[test]
    fn without_a_free_buffer_bulk_is_copied() {
        const FEW: usize = 3;
        let (from, mut out) = pipe_of(1 << 20, true);
        let mut writer = ZeroCopyWriter::new().unwrap();
        for n in 0..FEW {
            // Nothing that was written can be behind them.
            writer.ends = [u64::MAX; PIECES];
            write(&mut writer, &mut out, n, PIECE);
            assert_eq!(writer.current, COPIED);
        }
        writer.buffer().fill(0xee);
        out.end().unwrap();
        expect(Input::from(from), FEW);
    }

    #[test]
    fn a_foreign_reader_gets_copies() {
        passes(1 << 20, false);
    }

    /// The reader comes when the writer, its buffers included, is gone and its memory is in use again.
    #[test]
    fn pages_outlive_their_writer() {
        const FEW: usize = 3;
        for _ in 0..20 {
            let (from, mut out) = pipe_of(1 << 20, true);
            let mut writer = ZeroCopyWriter::new().unwrap();
            (0..FEW).for_each(|n| write(&mut writer, &mut out, n, PIECE));
            assert!(writer.ends[..FEW].iter().all(|end| *end > 0));
            drop(writer);
            let reused: Vec<Vec<u8>> = (0..100).map(|_| vec![0xee; 64 << 10]).collect();
            out.end().unwrap();
            expect(Input::from(from), FEW);
            drop(reused);
        }
    }
}
