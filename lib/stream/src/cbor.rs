//! The tokens of a CBOR item (RFC 8949) of definite lengths, read in place: nothing is allocated.

/// One head, with its content where it is a string.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Token<'a> {
    /// Major type 0.
    Unsigned(u64),
    /// Major type 1: the number is -1 minus this.
    Negative(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string; not checked to be UTF-8.
    Text(&'a [u8]),
    /// An array of this many items, which follow.
    Array(u64),
    /// A map of this many pairs, which follow.
    Map(u64),
    /// A tag; the tagged item follows.
    Tag(u64),
    /// false, true, null, undefined or another simple value.
    Simple(u8),
    /// A float of any width.
    Float(f64),
}

/// The tokens of `bytes`, in order. Ends early where they are not well-formed, which a record of a
/// [`Reader`](crate::Reader) never is.
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Tokens of a [body](crate::RawRecord::body_bytes).
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let (major, value, len) = head_of(self.rest)?;
        self.rest = &self.rest[len..];
        Some(match major {
            0 => Token::Unsigned(value),
            1 => Token::Negative(value),
            2 => Token::Bytes(self.take(value)?),
            3 => Token::Text(self.take(value)?),
            4 => Token::Array(value),
            5 => Token::Map(value),
            6 => Token::Tag(value),
            _ => match len {
                3 => Token::Float(half(value as u16)),
                5 => Token::Float(f32::from_bits(value as u32).into()),
                9 => Token::Float(f64::from_bits(value)),
                _ => Token::Simple(value as u8),
            },
        })
    }
}

/// The head at the start of `bytes`: major type, argument, and length. `None` where it is not all there, for indefinite lengths
/// and for reserved forms.
pub(crate) fn head_of(bytes: &[u8]) -> Option<(u8, u64, usize)> {
    let (first, rest) = bytes.split_first()?;
    let (value, len) = match first & 31 {
        small @ 0..=23 => (small.into(), 1),
        24 => ((*rest.first()?).into(), 2),
        25 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 3),
        26 => (u32::from_be_bytes(*rest.first_chunk()?).into(), 5),
        27 => (u64::from_be_bytes(*rest.first_chunk()?), 9),
        _ => return None,
    };
    Some((first >> 5, value, len))
}

/// Deepest nesting of a record.
pub(crate) const MAX_DEPTH: usize = 32;

/// The length of the item at the start of `bytes`, which is one level deep already. `None` where it is not all there, not well-formed,
/// or nested too deeply.
pub(crate) fn item_len(bytes: &[u8]) -> Option<usize> {
    let (mut open, mut depth, mut at) = ([0u64; MAX_DEPTH], 1, 0usize);
    open[0] = 1;
    while depth > 0 {
        let items = &mut open[depth - 1];
        if *items == 0 {
            depth -= 1;
            continue;
        }
        *items -= 1;
        let (major, value, len) = head_of(bytes.get(at..)?)?;
        at += len;
        let inside = match major {
            2 | 3 => {
                at =
                    at.checked_add(usize::try_from(value).ok()?).filter(|at| *at <= bytes.len())?;
                0
            }
            4 => value,
            5 => value.checked_mul(2)?,
            6 => 1,
            _ => 0,
        };
        if inside > 0 {
            *open.get_mut(depth)? = inside;
            depth += 1;
        }
    }
    Some(at)
}

/// Bytes of the argument behind the first byte of a head; `None` for indefinite lengths and reserved forms.
pub(crate) fn argument_len(first: u8) -> Option<u64> {
    match first & 31 {
        0..=23 => Some(0),
        24..=27 => Some(1 << ((first & 31) - 24)),
        _ => None,
    }
}

/// The argument of a head.
pub(crate) fn value(first: u8, argument: &[u8]) -> u64 {
    if argument.is_empty() {
        return u64::from(first & 31);
    }
    argument.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A float of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Most bytes of memory that a decoded record may take for each byte of its body.
const MAX_GROWTH: u64 = 16;

/// Whether the body can be decoded in a small multiple of its length. The weights are those of FORMAT.md: what a string,
/// a list and a number cost in memory, allocator included. Keys of maps are names of fields, which take none.
pub(crate) fn is_dense(body: &[u8]) -> bool {
    weight(body) <= MAX_GROWTH * body.len() as u64
}

fn weight(body: &[u8]) -> u64 {
    let mut weight = 0u64;
    // Items that are left in each open array or map, and whether it is a map.
    let (mut open, mut depth) = ([(0u64, false); MAX_DEPTH], 0);
    for token in Tokens::new(body) {
        while depth > 0 && open[depth - 1].0 == 0 {
            depth -= 1;
        }
        let mut key = false;
        if depth > 0 {
            let (left, map) = &mut open[depth - 1];
            key = *map && *left % 2 == 0;
            *left -= 1;
        }
        weight += match token {
            Token::Text(_) if key => 0,
            Token::Bytes(content) | Token::Text(content) if !content.is_empty() => 56,
            Token::Bytes(_) | Token::Text(_) | Token::Array(_) | Token::Map(_) => 24,
            _ => 8,
        };
        let inside = match token {
            Token::Array(items) => (items, false),
            Token::Map(pairs) => (pairs.saturating_mul(2), true),
            Token::Tag(_) => (1, false),
            _ => continue,
        };
        // No record is nested deeper.
        let Some(place) = open.get_mut(depth) else { return u64::MAX };
        *place = inside;
        depth += 1;
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_every_kind() {
        let bytes =
            [0x86, 0x18, 200, 0x20, 0x42, 1, 2, 0x61, b'x', 0xa1, 0xf6, 0xc1, 0xf5, 0xf9, 0x3c, 0];
        let tokens: Vec<Token<'_>> = Tokens::new(&bytes).collect();
        let want = [
            Token::Array(6),
            Token::Unsigned(200),
            Token::Negative(0),
            Token::Bytes(&[1, 2]),
            Token::Text(b"x"),
            Token::Map(1),
            Token::Simple(22),
            Token::Tag(1),
            Token::Simple(21),
            Token::Float(1.0),
        ];
        assert_eq!(tokens, want);
        for bad in [&[0x5f][..], &[0x42, 1], &[0x1c], &[0x19, 1]] {
            assert_eq!(Tokens::new(bad).next(), None);
        }
    }

    #[test]
    fn halves() {
        for (bits, number) in
            [(0x3c00, 1.0), (0xc000, -2.0), (1, 2f64.powi(-24)), (0x7bff, 65504.0)]
        {
            assert_eq!(half(bits), number);
        }
        assert_eq!(half(0xfc00), f64::NEG_INFINITY);
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn real_records_are_far_from_the_limit() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/v1-pipeline.floe");
        let golden = std::fs::read(golden).unwrap();
        let mut reader = crate::Reader::new(&golden[..]);
        loop {
            match reader.next().unwrap() {
                crate::Item::Record(raw) => {
                    let (weight, len) = (weight(raw.body_bytes()), raw.body_bytes().len() as u64);
                    assert!(
                        2 * weight <= MAX_GROWTH * len,
                        "kind {}: {weight} for {len}",
                        raw.kind
                    );
                }
                crate::Item::Bulk(_) => {}
                crate::Item::End => break,
            }
        }
    }

    #[test]
    fn what_grows_too_much_is_not_dense() {
        let list = |item: &[u8]| [&[0x99, 0x10, 0x00][..], &item.repeat(0x1000)].concat();
        for item in [&[0x40][..], &[0x80], &[0x41, 0], &[0xa0], &[0x60]] {
            assert!(!is_dense(&list(item)), "{item:x?}");
        }
        // Numbers, pairs of small numbers, and short names.
        for item in [&[0x00][..], &[0x82, 0, 0], &[0x43, 1, 2, 3], &[0xa1, 0x61, b'x', 0]] {
            assert!(is_dense(&list(item)), "{item:x?}");
        }
    }
}
