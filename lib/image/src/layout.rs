//! Where things lie in an image: fillers, index entries, and the tail of fixed length.

use crate::Result;
use floe_records::Bytes;
use floe_stream::{INDEX, INDEX_AT, PAD, RawRecord};
use serde::{Deserialize, Serialize};

/// Long bulk starts at a multiple of this.
pub(crate) const PAGE: u64 = 4096;
/// Bulk from this length on is long: a filler before it costs less than half a percent.
const LONG: u64 = 1 << 20;
/// Bytes of the head of a bulk string.
pub(crate) const BULK_HEAD: u64 = 9;
/// Bytes of the record that says where the index is.
pub(crate) const INDEX_AT_LEN: usize = 24;
/// Bytes of a Seal and of End.
pub(crate) const END_LEN: usize = 33;
/// Index entries of about this many bytes go into one record.
const INDEX_PIECE: usize = 4 << 20;

/// A record of the bulk part with its bulk strings, as the index tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry(
    /// The whole item.
    pub Bytes,
    /// Offset of the content in the file, bytes, XXH3-64 of the content.
    pub Vec<(u64, u64, u64)>,
);

/// The filler to write at `at`, so that `len` bytes of bulk behind a record of `record` bytes start at a page
/// boundary; none for short bulk.
pub(crate) fn pad(at: u64, record: usize, len: u64) -> Option<RawRecord> {
    // [98, 1, bytes]: seven bytes and the filler itself.
    const EMPTY: u64 = 7;
    let mut gap = (at + record as u64 + BULK_HEAD).wrapping_neg() % PAGE;
    if gap == 0 || len < LONG {
        return None;
    }
    if gap < EMPTY {
        gap += PAGE;
    }
    let filler = (gap - EMPTY) as u16;
    let mut body = vec![0x59];
    body.extend(filler.to_be_bytes());
    body.resize(3 + usize::from(filler), 0);
    Some(RawRecord::from_parts(PAD, 1, &body))
}

/// The head of a bulk string of an image.
pub(crate) fn bulk_head(len: u64) -> [u8; BULK_HEAD as usize] {
    let mut head = [0x5b; BULK_HEAD as usize];
    head[1..].copy_from_slice(&len.to_be_bytes());
    head
}

/// Index records for all entries.
pub(crate) fn index(entries: &[Entry]) -> Result<Vec<RawRecord>> {
    let mut records = Vec::new();
    let mut from = 0;
    while from < entries.len() {
        let mut size = 0;
        let piece = entries[from..]
            .iter()
            .take_while(|entry| {
                let fits = size < INDEX_PIECE;
                size += entry.0.0.len() + 30 * (1 + entry.1.len());
                fits
            })
            .count();
        let mut body = Vec::new();
        ciborium::into_writer(&entries[from..from + piece], &mut body)
            .map_err(|e| std::io::Error::other(format!("unable to encode the index: {e}")))?;
        records.push(RawRecord::from_parts(INDEX, 1, &body));
        from += piece;
    }
    Ok(records)
}

/// Entries of one index record.
pub(crate) fn entries(record: &RawRecord) -> Result<Vec<Entry>> {
    Ok(record.body("the index")?)
}

/// Where the index starts, and XXH3-64 of all its bytes.
pub(crate) fn index_at(offset: u64, digest: u64) -> RawRecord {
    let mut body = vec![0x82];
    for number in [offset, digest] {
        body.push(0x1b);
        body.extend(number.to_be_bytes());
    }
    RawRecord::from_parts(INDEX_AT, 1, &body)
}

/// What [`index_at`] wrote.
pub(crate) fn parse_index_at(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (offset, digest) = (number(7)?, number(16)?);
    (index_at(offset, digest).bytes == bytes).then_some((offset, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_reaches_the_page() {
        for at in 0..2 * PAGE {
            for record in [3, 40, 5000] {
                let pad = pad(at, record, LONG).map_or(0, |pad| pad.bytes.len() as u64);
                assert_eq!((at + pad + record as u64 + BULK_HEAD) % PAGE, 0);
            }
        }
    }

    #[test]
    fn the_tail_has_a_fixed_length() {
        for (offset, digest) in [(0, 0), (u64::MAX, 7)] {
            let record = index_at(offset, digest);
            assert_eq!(record.bytes.len(), INDEX_AT_LEN);
            assert_eq!(parse_index_at(&record.bytes), Some((offset, digest)));
        }
        assert_eq!(floe_stream::Tally::default().item(floe_stream::END).len(), END_LEN);
    }
}
