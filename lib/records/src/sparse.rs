//! Bytes of which most are zero: `[length, [[offset, bytes] …]]`, ascending, all else zero.
//!
//! At most [`LEFT_OUT`] zeros are left out, so that what is decoded takes little more than what was sent.

use crate::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Most zeros that are left out of one value.
const LEFT_OUT: usize = 4096;
/// Zeros that are sent rather than a part of its own begun behind them.
const SHORT: usize = 16;

/// Writes it.
pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    (bytes.0.len() as u64, parts(&bytes.0)).serialize(serializer)
}

/// Reads it.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let (len, parts) = <(u64, Vec<(u64, Bytes)>)>::deserialize(deserializer)?;
    let sent: usize = parts.iter().map(|(_, bytes)| bytes.0.len()).sum();
    if len > (sent + LEFT_OUT) as u64 {
        return Err(D::Error::custom("more zeros are left out than may be"));
    }
    let mut all: Vec<u8> = Vec::with_capacity(len as usize);
    for (offset, bytes) in parts {
        if offset < all.len() as u64 || offset > len - (bytes.0.len() as u64).min(len) {
            return Err(D::Error::custom("parts that overlap or lie outside"));
        }
        all.resize(offset as usize, 0);
        all.extend(bytes.0);
    }
    if all.len() as u64 > len {
        return Err(D::Error::custom("parts that lie outside"));
    }
    all.resize(len as usize, 0);
    Ok(Bytes(all))
}

/// What is sent of some bytes, with its offsets.
fn parts(bytes: &[u8]) -> Vec<(u64, Bytes)> {
    let mut parts = Vec::new();
    let (mut start, mut left) = (0, LEFT_OUT);
    while start < bytes.len() {
        let zeros = bytes[start..].iter().take_while(|byte| **byte == 0).count().min(left);
        left -= zeros;
        start += zeros;
        let mut end = start;
        while end < bytes.len() {
            let zeros = bytes[end..].iter().take_while(|byte| **byte == 0).count();
            if left > 0 && (zeros > SHORT || end + zeros == bytes.len()) {
                break;
            }
            end = (end + zeros.max(1)).min(bytes.len());
        }
        if start < end {
            parts.push((start as u64, bytes[start..end].into()));
        }
        start = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        for (offset, part) in parts(bytes) {
            all.resize(offset as usize, 0);
            all.extend(part.0);
        }
        all.resize(bytes.len(), 0);
        all
    }

    #[test]
    fn only_long_runs_of_zeros_are_left_out() {
        let mut bytes = vec![0; 300];
        assert_eq!(parts(&bytes), []);
        (bytes[5], bytes[15], bytes[200], bytes[299]) = (1, 2, 3, 4);
        let sent: Vec<(u64, usize)> =
            parts(&bytes).iter().map(|(at, part)| (*at, part.0.len())).collect();
        assert_eq!(sent, [(5, 11), (200, 1), (299, 1)]);
        assert_eq!(back(&bytes), bytes);
    }

    #[test]
    fn not_all_zeros_of_many_are_left_out() {
        let mut bytes = vec![0; 20_000];
        bytes[10_000] = 1;
        let sent: usize = parts(&bytes).iter().map(|(_, part)| part.0.len()).sum();
        assert!(sent + LEFT_OUT >= bytes.len(), "{sent}");
        assert_eq!(back(&bytes), bytes);
    }
}
