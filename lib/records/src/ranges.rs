//! Ranges of memory and of contents: many to a record, with one bulk string behind it for all.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use std::fmt;

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;
/// Most bytes of the bulk string behind one record, which readers must have room for.
pub const MAX_CONTENT: u64 = 1 << 20;
/// Most ranges of one record: one system call with vectors takes them all (IOV_MAX).
pub const MAX_RANGES: usize = 1024;

/// Ranges of an address space or a file: ascending, none empty, none overlapping another, starts and lengths multiples
/// of `ALIGN`, [`MAX_RANGES`] of [`MAX_CONTENT`] bytes together at most. Decoding checks all of it.
///
/// Encoded as an array of `[start, length]`, both in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ranges<const ALIGN: u64> {
    list: Vec<(u64, u32)>,
    bytes: u64,
}

/// Why a range cannot be one of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadRange {
    /// It is empty, or its end is beyond all addresses.
    Bounds,
    /// Its start or its length is not a multiple of the alignment.
    Alignment,
    /// It starts before the end of the range before it.
    Order,
    /// The record has as many ranges or bytes as one may have.
    Full,
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bounds => "a range that is empty or has no end",
            Self::Alignment => "a range that is not aligned",
            Self::Order => "ranges that overlap or do not ascend",
            Self::Full => "more ranges or bytes than a record may have",
        })
    }
}

impl std::error::Error for BadRange {}

impl<const ALIGN: u64> Ranges<ALIGN> {
    /// Adds a range behind the others; one that begins where the last one ends is joined to it.
    pub fn push(&mut self, start: u64, len: u32) -> Result<(), BadRange> {
        if len == 0 || start.checked_add(u64::from(len)).is_none() {
            return Err(BadRange::Bounds);
        }
        if !start.is_multiple_of(ALIGN) || !u64::from(len).is_multiple_of(ALIGN) {
            return Err(BadRange::Alignment);
        }
        let (count, last) = (self.list.len(), self.list.last_mut());
        let end = last.as_ref().map_or(0, |last| last.0 + u64::from(last.1));
        if start < end {
            return Err(BadRange::Order);
        }
        let bytes = self.bytes + u64::from(len);
        if bytes > MAX_CONTENT {
            return Err(BadRange::Full);
        }
        match last {
            Some(last) if start == end => last.1 += len,
            _ if count == MAX_RANGES => return Err(BadRange::Full),
            _ => self.list.push((start, len)),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Start and length of each, in bytes.
    pub fn as_slice(&self) -> &[(u64, u32)] {
        &self.list
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The sum of the lengths.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<const ALIGN: u64> Serialize for Ranges<ALIGN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl<'de, const ALIGN: u64> Deserialize<'de> for Ranges<ALIGN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Decode)
    }
}

/// Checks each range as it is decoded: what is too much is never held.
struct Decode<const ALIGN: u64>;

impl<'de, const ALIGN: u64> Visitor<'de> for Decode<ALIGN> {
    type Value = Ranges<ALIGN>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of ranges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut ranges = Ranges::default();
        while let Some((start, len)) = seq.next_element()? {
            ranges.push(start, len).map_err(A::Error::custom)?;
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ranges_are_taken() {
        let mut ranges = Ranges::<PAGE_SIZE>::default();
        assert_eq!(ranges.push(0x2000, 0x1000), Ok(()));
        for (start, len, why) in [
            (0x3000, 0, BadRange::Bounds),
            (u64::MAX - 0xfff, 0x1000, BadRange::Bounds),
            (0x3800, 0x1000, BadRange::Alignment),
            (0x3000, 0x800, BadRange::Alignment),
            (0x1000, 0x1000, BadRange::Order),
            (0x2000, 0x1000, BadRange::Order),
            (0x3000, MAX_CONTENT as u32, BadRange::Full),
        ] {
            assert_eq!(ranges.push(start, len), Err(why), "{start:x} {len:x}");
        }
        assert_eq!(ranges.push(0x3000, 0x1000), Ok(()), "a neighbour");
        assert_eq!(ranges.push(0x5000, 0x1000), Ok(()));
        assert_eq!(ranges.as_slice(), [(0x2000, 0x2000), (0x5000, 0x1000)]);
        assert_eq!(ranges.bytes(), 0x3000);
    }

    #[test]
    fn a_record_has_so_many_ranges_at_most() {
        let mut ranges = Ranges::<1>::default();
        for n in 0..MAX_RANGES as u64 {
            assert_eq!(ranges.push(n * 2, 1), Ok(()));
        }
        assert_eq!(ranges.push(1 << 20, 1), Err(BadRange::Full));
    }
}
