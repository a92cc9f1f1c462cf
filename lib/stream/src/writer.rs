//! Writes a stream. The first failure latches: no byte follows it.

use crate::{Check, END, Error, MAX_BULK, RawRecord, Result, SEAL, Tally};
use floe_records::{Record, is_bulk};
use std::io::{self, Write};

/// Writer of one stream.
pub struct Writer<W: Write> {
    out: io::BufWriter<W>,
    tally: Tally,
    sealed: bool,
    failed: bool,
    left: u64,
    bulk: u64,
    check: Check,
    digest: u64,
    at: u64,
}

impl<W: Write> Writer<W> {
    /// A stream that goes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out: io::BufWriter::with_capacity(64 << 10, out),
            tally: Tally::default(),
            sealed: false,
            failed: false,
            left: 0,
            bulk: 0,
            check: Check::default(),
            digest: 0,
            at: 0,
        }
    }

    /// Writes a record.
    pub fn record<T: Record>(&mut self, record: &T) -> Result<()> {
        self.raw(&RawRecord::encode(record)?)
    }

    /// Passes a record on byte for byte.
    pub fn raw(&mut self, record: &RawRecord) -> Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("a record inside of bulk").into());
        }
        if is_bulk(record.kind) {
            self.seal()?;
        }
        self.tally.record(&record.bytes);
        self.put(&record.bytes)
    }

    /// Writes the Seal, once: what comes before it can be trusted without what comes behind.
    pub fn seal(&mut self) -> Result<()> {
        if self.sealed {
            return Ok(());
        }
        if self.left > 0 {
            return Err(io::Error::other("a Seal inside of bulk").into());
        }
        self.sealed = true;
        self.tally_item(SEAL)
    }

    /// Writes a whole bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) -> Result<()> {
        self.bulk_head(bytes.len() as u64)?;
        self.bulk_part(bytes)
    }

    /// Announces a bulk string of `len` bytes; exactly that many must follow by [`Writer::bulk_part`].
    pub fn bulk_head(&mut self, len: u64) -> Result<()> {
        if self.left > 0 || len > MAX_BULK {
            return Err(io::Error::other("bulk inside of bulk, or too long").into());
        }
        let mut head = [0x5b, 0, 0, 0, 0, 0, 0, 0, 0];
        head[1..].copy_from_slice(&len.to_be_bytes());
        (self.left, self.bulk, self.check) = (len, len, Check::default());
        self.put(&head)?;
        if len == 0 {
            self.finish_bulk();
        }
        Ok(())
    }

    /// Writes the next piece of the announced bulk string.
    pub fn bulk_part(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other("more bulk than announced").into());
        };
        self.check.update(bytes);
        self.put(bytes)?;
        self.left = left;
        if left == 0 && !bytes.is_empty() {
            self.finish_bulk();
        }
        Ok(())
    }

    /// Counts the whole of the announced bulk string, which somebody else puts behind what was written so far.
    /// `digest` is the XXH3-64 of its content.
    pub fn bulk_elsewhere(&mut self, digest: u64) {
        let len = std::mem::take(&mut self.left);
        self.at += len;
        if len > 0 {
            self.digest = digest;
            self.tally.finish_bulk(self.bulk, digest);
        }
    }

    /// What the stream goes to. Some of what was written may not be with it yet.
    pub fn get_ref(&self) -> &W {
        self.out.get_ref()
    }

    /// What the stream goes to. Everything written so far is with it then.
    pub fn sink(&mut self) -> Result<&mut W> {
        self.flush()?;
        Ok(self.out.get_mut())
    }

    /// Writes End and flushes: the receipt that all work has succeeded.
    pub fn end(mut self) -> Result<W> {
        if self.left > 0 {
            return Err(io::Error::other("End inside of bulk").into());
        }
        self.tally_item(END)?;
        self.flush()?;
        self.out.into_inner().map_err(|e| Error::Io(e.into_error()))
    }

    /// Writes Abort instead of End and flushes: the reader of the stream fails with this exit code (1 to 255) as well, and
    /// need not say why. Nothing can be written behind it.
    ///
    /// # Errors
    /// Also where an earlier write has failed or a bulk string is not whole: a reader could not tell the Abort from it.
    pub fn abort(&mut self, code: u8) -> Result<()> {
        if self.left > 0 || code == 0 {
            return Err(io::Error::other("an Abort inside of bulk, or of a success").into());
        }
        let written = self.put(&RawRecord::abort(code).bytes).and_then(|()| self.flush());
        self.failed = true;
        written
    }

    /// Hands everything written so far to the kernel.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.latch(flushed)
    }

    /// What has been written so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// XXH3-64 of the content of the last whole bulk string.
    pub fn bulk_digest(&self) -> u64 {
        self.digest
    }

    /// Byte offset of what comes next.
    pub fn offset(&self) -> u64 {
        self.at
    }

    fn finish_bulk(&mut self) {
        self.digest = self.check.digest();
        self.tally.finish_bulk(self.bulk, self.digest);
    }

    fn tally_item(&mut self, kind: u16) -> Result<()> {
        let bytes = self.tally.item(kind);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed").into());
        }
        let written = self.out.write_all(bytes);
        self.at += bytes.len() as u64;
        self.latch(written)
    }

    fn latch(&mut self, result: io::Result<()>) -> Result<()> {
        self.failed |= result.is_err();
        Ok(result?)
    }
}
