//! The running checksum: a chain of XXH3-64 digests, one per item, so that an item which a filter passes on is
//! hashed once and workers can hash items apart from each other.

use std::hash::Hasher;
use twox_hash::XxHash3_64;

/// Body of Seal and End: what came before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Records before this one, Seals left out.
    pub records: u64,
    /// Bulk bytes before this one.
    pub bulk: u64,
    /// The chain of digests.
    pub check: u64,
}

impl Tally {
    /// The item that says it: `[kind, 1, [records, bulk, check]]`, numbers in their 8-byte form. It has one
    /// encoding only, so that a reader compares it whole.
    pub fn item(&self, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x83, 0x19];
        bytes.extend(kind.to_be_bytes());
        bytes.extend([1, 0x83]);
        for number in [self.records, self.bulk, self.check] {
            bytes.push(0x1b);
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    /// Counts a record.
    pub fn record(&mut self, bytes: &[u8]) {
        self.records += 1;
        self.chain(XxHash3_64::oneshot(bytes));
    }

    /// Counts a bulk string with this digest of its content.
    pub fn finish_bulk(&mut self, len: u64, digest: u64) {
        self.bulk += len;
        self.chain(digest);
    }

    fn chain(&mut self, digest: u64) {
        let mut pair = [0; 16];
        pair[..8].copy_from_slice(&self.check.to_le_bytes());
        pair[8..].copy_from_slice(&digest.to_le_bytes());
        self.check = XxHash3_64::oneshot(&pair);
    }
}

/// Digest of one bulk string's content, fed in pieces.
#[derive(Default)]
pub struct Check(XxHash3_64);

impl Check {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// XXH3-64 of all pieces.
    pub fn digest(&self) -> u64 {
        self.0.finish()
    }
}
