//! Reads a stream from a stranger: nothing is believed, and nothing is allocated that has not arrived.

use crate::cbor::{MAX_DEPTH, argument_len, head_of, item_len, value};
use crate::{
    ABORT, Check, END, Error, INDEX, INDEX_AT, MAX_BULK, MAX_RECORD, PAD, RawRecord, Result, SEAL,
    Tally,
};
use floe_records::{Begin, Record};
use std::io::{self, IoSliceMut, Read};

/// What a stream consists of.
#[derive(Debug)]
pub enum Item {
    /// A record.
    Record(RawRecord),
    /// Bulk of this many bytes belongs to the last record; take it by [`Reader::read_bulk`].
    Bulk(u64),
    /// The stream is whole.
    End,
}

/// Where a stream comes from.
pub trait Source: Read {
    /// Whether a byte has arrived that has not been read; asked behind End, without waiting for one.
    fn has_more(&mut self) -> io::Result<bool>;

    /// Whether it comes from a file: who reads it now has not seen what its writer said.
    fn is_stored(&self) -> bool {
        false
    }
}

impl Source for &[u8] {
    fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.is_empty())
    }
}

/// From this length on a record gives back what its buffer has grown too much, bytes.
const SHRINK: usize = 64 << 10;
/// Bytes that are read ahead of what is parsed: the most of them, and how many behind a long bulk string. It is read to where
/// it goes, and what was read ahead of the next one would be copied once more.
const AHEAD: usize = 64 << 10;
const AHEAD_OF_BULK: usize = 256;

/// Reader of one stream.
pub struct Reader<R: Source> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes to read ahead the next time.
    ahead: usize,
    at: u64,
    tally: Tally,
    sealed: Option<(u64, Tally)>,
    ended: bool,
    aborted: Option<u8>,
    left: u64,
    bulk: u64,
    check: Check,
    digest: u64,
}

impl<R: Source> Reader<R> {
    /// One record of many in memory. To read far ahead of each would take longer than all else.
    pub(crate) fn of_record(input: R) -> Self {
        let mut reader = Self::new(input);
        reader.ahead = AHEAD_OF_BULK;
        reader
    }

    /// A stream that comes from `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            ahead: AHEAD,
            at: 0,
            tally: Tally::default(),
            sealed: None,
            ended: false,
            aborted: None,
            left: 0,
            bulk: 0,
            check: Check::default(),
            digest: 0,
        }
    }

    #[allow(clippy::should_implement_trait, reason = "a lending read, not an iterator")]
    /// The next item; an announced bulk that was not read is skipped.
    ///
    /// # Errors
    /// [`Error::Aborted`] where the writer has left its exit code instead of End; again with each further call.
    pub fn next(&mut self) -> Result<Item> {
        self.skip_bulk()?;
        loop {
            if let Some(code) = self.aborted {
                return Err(Error::Aborted(code));
            }
            if self.ended {
                return Err(Error::damaged(self.at, "read behind End"));
            }
            let first = self.peek()?;
            if first >> 5 == 2 {
                return self.bulk_item();
            }
            let record = self.record_item()?;
            match record.kind {
                SEAL => self.seal(&record)?,
                END => return self.end(&record),
                ABORT => self.abort(&record)?,
                kind => {
                    if (kind == Begin::KIND) != (self.tally.records == 0) {
                        return Err(Error::damaged(
                            record.at,
                            "Begin must be the first record, once",
                        ));
                    }
                    self.tally.record(&record.bytes);
                    // An image is a stream with an index, which is of no use to who reads it in one go.
                    if !matches!(kind, PAD | INDEX | INDEX_AT) {
                        return Ok(Item::Record(record));
                    }
                }
            }
        }
    }

    /// Reads on to where a checksum tells whether what has been read so far was damaged, and gives the damage.
    ///
    /// For a caller that fails over a record that has not been verified yet: damage is the better explanation.
    pub fn damage(&mut self) -> Option<Error> {
        while !self.sealed() {
            match self.next() {
                Ok(_) => {}
                Err(Error::Io(_) | Error::Aborted(_)) => return None,
                Err(damage) => return Some(damage),
            }
        }
        None
    }

    /// Fills `to` from the announced bulk.
    pub fn read_bulk(&mut self, to: &mut [u8]) -> Result<()> {
        if to.len() as u64 > self.left {
            return Err(Error::damaged(self.at, "less bulk than its record promises"));
        }
        let buffered = (self.buffer.len() - self.start).min(to.len());
        to[..buffered].copy_from_slice(&self.buffer[self.start..self.start + buffered]);
        self.start += buffered;
        let mut done = buffered;
        while done < to.len() {
            match self.read_to(&mut to[done..], self.left - done as u64) {
                Ok(0) => {
                    return Err(Error::damaged(
                        self.at + done as u64,
                        "the stream ends within bulk",
                    ));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.at += done as u64;
        self.check.update(to);
        self.left -= done as u64;
        if self.left == 0 && done > 0 {
            self.finish_bulk();
        }
        Ok(())
    }

    /// Reads bulk, of which `left` bytes have not been read. With the last of a long string comes what stands behind it: two
    /// calls would wake the writer of a full pipe twice.
    fn read_to(&mut self, to: &mut [u8], left: u64) -> io::Result<usize> {
        let last = to.len() as u64 == left && self.bulk >= AHEAD as u64;
        self.start = 0;
        self.buffer.resize(if last { AHEAD_OF_BULK } else { 0 }, 0);
        let len = to.len();
        let mut parts = [IoSliceMut::new(to), IoSliceMut::new(&mut self.buffer)];
        let read = self.input.read_vectored(&mut parts);
        let n = read.as_ref().map_or(0, |n| *n);
        self.buffer.truncate(n.saturating_sub(len));
        read.map(|n| n.min(len))
    }

    /// XXH3-64 of the content of the last bulk string that was read to its end.
    pub fn bulk_digest(&self) -> u64 {
        self.digest
    }

    fn finish_bulk(&mut self) {
        self.digest = self.check.digest();
        self.tally.finish_bulk(self.bulk, self.digest);
        if self.bulk >= AHEAD as u64 {
            self.ahead = AHEAD_OF_BULK;
        }
    }

    /// Reads and checks what is left of the announced bulk.
    pub fn skip_bulk(&mut self) -> Result<()> {
        let mut piece = vec![0; self.left.min(256 << 10) as usize];
        while self.left > 0 {
            let len = self.left.min(piece.len() as u64) as usize;
            self.read_bulk(&mut piece[..len])?;
        }
        Ok(())
    }

    /// Has the checksum of all metadata been verified?
    pub fn sealed(&self) -> bool {
        self.sealed.is_some() || self.ended
    }

    /// The offset behind the Seal, and what had been read by then.
    pub fn seal_at(&self) -> Option<(u64, Tally)> {
        self.sealed
    }

    /// Byte offset of what comes next.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// What has been read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The input.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    fn bulk_item(&mut self) -> Result<Item> {
        if self.tally.records == 0 {
            return Err(Error::damaged(self.at, "bulk without a record"));
        }
        let at = self.at;
        let mut head = Vec::with_capacity(9);
        let (_, len) = self.head(&mut head)?;
        let Some(len) = len.filter(|len| *len <= MAX_BULK) else {
            return Err(Error::damaged(at, "bulk of no or too great length"));
        };
        (self.left, self.bulk, self.check) = (len, len, Check::default());
        if len == 0 {
            self.finish_bulk();
        }
        Ok(Item::Bulk(len))
    }

    pub(crate) fn record_item(&mut self) -> Result<RawRecord> {
        if let Some(record) = self.buffered_record() {
            return Ok(record);
        }
        let at = self.at;
        let mut bytes = Vec::new();
        if self.head(&mut bytes)? != (4, Some(3)) {
            return Err(Error::damaged(at, "not a record"));
        }
        let kind = self.small(&mut bytes)?;
        let version = self.small(&mut bytes)?;
        let body = bytes.len();
        self.walk(&mut bytes)?;
        if bytes.len() > SHRINK {
            bytes.shrink_to_fit();
        }
        Ok(RawRecord { kind, version, bytes, body, at })
    }

    /// A record that is whole in the buffer, in one copy; `None` also for what is no record, of which [`Reader::record_item`] says why.
    fn buffered_record(&mut self) -> Option<RawRecord> {
        let bytes = &self.buffer[self.start..];
        let (4, 3, head) = head_of(bytes)? else { return None };
        let small = |at: usize| match head_of(&bytes[at..])? {
            (0, number, len) => Some((u16::try_from(number).ok()?, at + len)),
            _ => None,
        };
        let (kind, at) = small(head)?;
        let (version, body) = small(at)?;
        let len = body + item_len(&bytes[body..])?;
        if len > MAX_RECORD {
            return None;
        }
        let bytes = bytes[..len].to_vec();
        let record = RawRecord { kind, version, bytes, body, at: self.at };
        self.start += len;
        self.at += len as u64;
        Some(record)
    }

    fn small(&mut self, bytes: &mut Vec<u8>) -> Result<u16> {
        let at = self.at;
        match self.head(bytes)? {
            (0, Some(value)) if value <= u64::from(u16::MAX) => Ok(value as u16),
            _ => Err(Error::damaged(at, "kind or version is not a small number")),
        }
    }

    /// Copies one CBOR item of definite lengths to `bytes`. As far as it is buffered it is walked in place and copied at once.
    fn walk(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let mut open: Vec<u64> = vec![1];
        // Bytes that have been walked and not been copied.
        let mut ahead = 0;
        while let Some(items) = open.last_mut() {
            if *items == 0 {
                open.pop();
                continue;
            }
            *items -= 1;
            let at = self.at + ahead as u64;
            let (major, value) = match head_of(&self.buffer[self.start + ahead..]) {
                Some((major, value, len)) => {
                    ahead += len;
                    (major, value)
                }
                None => {
                    self.copy(bytes, std::mem::take(&mut ahead) as u64)?;
                    let (major, value) = self.head(bytes)?;
                    (
                        major,
                        value.ok_or_else(|| Error::damaged(at, "a length that is not definite"))?,
                    )
                }
            };
            let inside = match major {
                2 | 3 => {
                    if value <= (self.buffer.len() - self.start - ahead) as u64 {
                        ahead += value as usize;
                    } else {
                        self.copy(bytes, std::mem::take(&mut ahead) as u64)?;
                        self.copy(bytes, value)?;
                    }
                    0
                }
                4 => value,
                5 => value.checked_mul(2).ok_or_else(|| Error::damaged(at, "a map too long"))?,
                6 => 1,
                _ => 0,
            };
            if inside > 0 {
                if open.len() >= MAX_DEPTH {
                    return Err(Error::damaged(at, "nested too deeply"));
                }
                open.push(inside);
            }
        }
        self.copy(bytes, ahead as u64)
    }

    /// One head: major type and argument; `None` for indefinite lengths and reserved forms.
    fn head(&mut self, bytes: &mut Vec<u8>) -> Result<(u8, Option<u64>)> {
        let start = bytes.len();
        self.copy(bytes, 1)?;
        let first = bytes[start];
        let Some(more) = argument_len(first) else { return Ok((first >> 5, None)) };
        self.copy(bytes, more)?;
        Ok((first >> 5, Some(value(first, &bytes[start + 1..]))))
    }

    fn copy(&mut self, bytes: &mut Vec<u8>, len: u64) -> Result<()> {
        if len > (MAX_RECORD - bytes.len().min(MAX_RECORD)) as u64 {
            return Err(Error::damaged(self.at, "a record too long"));
        }
        let mut left = len as usize;
        while left > 0 {
            self.fill()?;
            let piece = left.min(self.buffer.len() - self.start);
            bytes.extend_from_slice(&self.buffer[self.start..self.start + piece]);
            self.start += piece;
            self.at += piece as u64;
            left -= piece;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<u8> {
        self.fill()?;
        Ok(self.buffer[self.start])
    }

    /// Makes sure that at least one byte is buffered.
    fn fill(&mut self) -> Result<()> {
        if self.start < self.buffer.len() {
            return Ok(());
        }
        self.start = 0;
        self.buffer.resize(self.ahead, 0);
        self.ahead = (self.ahead * 2).min(AHEAD);
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(0) => {
                    self.buffer.clear();
                    let problem = match self.at {
                        0 => "the input is empty: what should write the stream has failed",
                        _ => "the stream ends before End",
                    };
                    return Err(Error::damaged(self.at, problem));
                }
                Ok(n) => {
                    self.buffer.truncate(n);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.buffer.clear();
                    return Err(e.into());
                }
            }
        }
    }

    fn seal(&mut self, record: &RawRecord) -> Result<()> {
        if record.bytes != self.tally.item(SEAL) {
            return Err(Error::damaged(record.at, "the checksum of the metadata does not match"));
        }
        self.sealed = Some((self.at, self.tally));
        Ok(())
    }

    /// An Abort that may be believed is what the next turn of the loop returns.
    fn abort(&mut self, record: &RawRecord) -> Result<()> {
        let code = record.bytes.last().copied().unwrap_or(0);
        if code == 0 || record.bytes != RawRecord::abort(code).bytes {
            return Err(Error::damaged(record.at, "an Abort without an exit code"));
        }
        if self.input.is_stored() {
            return Err(Error::damaged(record.at, Error::Aborted(code).to_string()));
        }
        self.aborted = Some(code);
        Ok(())
    }

    fn end(&mut self, record: &RawRecord) -> Result<Item> {
        if self.tally.records == 0 || record.bytes != self.tally.item(END) {
            return Err(Error::damaged(record.at, "the checksum of the stream does not match"));
        }
        self.ended = true;
        if self.start < self.buffer.len() || self.input.has_more()? {
            return Err(Error::damaged(self.at, "bytes behind End"));
        }
        Ok(Item::End)
    }
}
