//! Bulk that crosses a pipe without a copy: its pages are lent to the pipe (vmsplice(2)).
//!
//! A lent page must not be written to before its reader has taken a copy. Floe tools only ever copy out of a pipe, so a
//! page is free again when the pipe has taken so many others that it cannot hold this one any more. A foreign reader
//! may pass pages on by splice(2) and look at them later: it is known by the lock that it does not hold, and gets
//! copies.

use crate::{Out, Output, hangup};
use floe_stream::Check;
use std::{ops::Range, os::fd::AsFd};

const PAGE: usize = 4096;
/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// A pipe holds a page for each 4096 bytes of its capacity: all pieces but one are more than the largest pipe.
const PIECES: usize = 6;
const LARGEST_PIPE: usize = 1 << 20;
const _: () = assert!((PIECES - 1) * PIECE > LARGEST_PIPE);

/// Buffers for bulk.
pub struct Lender {
    memory: Vec<u8>,
    next: usize,
    /// Unknown until the first piece: a reader may start late.
    lends: Option<bool>,
}

impl Default for Lender {
    fn default() -> Self {
        Self { memory: vec![0; PIECES * PIECE + PAGE], next: 0, lends: None }
    }
}

impl Lender {
    /// A buffer of 256 KiB.
    pub fn buffer(&mut self) -> &mut [u8] {
        let piece = self.piece(0..PIECE);
        &mut self.memory[piece]
    }

    fn piece(&self, part: Range<usize>) -> Range<usize> {
        let start = self.memory.as_ptr().align_offset(PAGE) + self.next * PIECE;
        start + part.start..start + part.end
    }

    /// Writes a part of the buffer as one bulk string. The buffer is another one then.
    pub fn bulk(&mut self, out: &mut Out, part: Range<usize>) -> anyhow::Result<()> {
        let whole = part == (0..PIECE);
        let bytes = &self.memory[self.piece(part)];
        if !whole || self.lends == Some(false) {
            return Ok(out.bulk(bytes)?);
        }
        out.bulk_head(bytes.len() as u64)?;
        let sink = out.sink()?;
        if !*self.lends.get_or_insert_with(|| takes_copies(sink)) {
            return Ok(out.bulk_part(bytes)?);
        }
        let mut check = Check::default();
        check.update(bytes);
        let mut left = bytes;
        while !left.is_empty() {
            let taken = sink.lend(left)?;
            left = &left[taken..];
        }
        out.bulk_elsewhere(check.digest());
        self.next = (self.next + 1) % PIECES;
        Ok(())
    }
}

/// Whether a pipe that is not too large goes to a tool that copies.
fn takes_copies(out: &Output) -> bool {
    floe_sys::pipe_size(out.as_fd()).is_ok_and(|size| size <= LARGEST_PIPE)
        && hangup::read_by_floe(out.as_fd()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;
    use floe_records::{ObjectData, ObjectId, Ranges};
    use floe_stream::{Item, Reader, Writer};
    use floe_tests::made;
    use std::{io::pipe, os::fd::OwnedFd, thread, time::Duration};

    const COUNT: usize = 64;

    /// Bytes that tell every piece from every other.
    fn fill(n: usize, buffer: &mut [u8]) {
        buffer.chunks_mut(8).enumerate().for_each(|(at, word)| {
            word.copy_from_slice(&((n << 32 | at) as u64).to_ne_bytes()[..word.len()]);
        });
    }

    /// What is read of so many pieces, by a reader that holds the lock of a floe tool or does not.
    fn passes(floe: bool) {
        let (from, to) = pipe().unwrap();
        let (from, to) = (OwnedFd::from(from), OwnedFd::from(to));
        floe_sys::set_pipe_size(to.as_fd(), LARGEST_PIPE).unwrap();
        if floe {
            floe_sys::flock_shared(from.as_fd()).unwrap();
        }
        let writer = thread::spawn(move || {
            let mut out = Writer::new(Output::from(to));
            out.record(&made::begin()).unwrap();
            let mut lender = Lender::default();
            for n in 0..COUNT {
                fill(n, lender.buffer());
                // Every third piece is not whole.
                let len = if n % 3 == 0 { PIECE - 8 } else { PIECE };
                let mut ranges = Ranges::default();
                ranges.push(0, len as u32).unwrap();
                out.record(&ObjectData { id: ObjectId { dev: 1, ino: n as u64 }, ranges }).unwrap();
                lender.bulk(&mut out, 0..len).unwrap();
            }
            assert_eq!(lender.lends, Some(floe));
            out.end().unwrap();
        });
        let mut reader = Reader::new(Input::from(from));
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
        writer.join().unwrap();
        assert_eq!(n, COUNT);
    }

    #[test]
    fn lent_pages_arrive_as_they_were() {
        passes(true);
    }

    #[test]
    fn a_foreign_reader_gets_copies() {
        passes(false);
    }
}
