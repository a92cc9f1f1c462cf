//! A record as bytes: passed on byte for byte, decoded only by who knows it.

use crate::{Error, Result};
use floe_records::Record;

/// A whole item `[kind, version, body]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawRecord {
    /// Number of the kind.
    pub kind: u16,
    /// Version of the body.
    pub version: u16,
    /// The whole item.
    pub bytes: Vec<u8>,
    /// Where the body starts in `bytes`.
    pub(crate) body: usize,
    /// Byte offset of the item in its stream.
    pub at: u64,
}

impl RawRecord {
    /// Encodes a record.
    pub fn encode<T: Record>(record: &T) -> Result<Self> {
        let mut bytes = vec![0x83];
        head(&mut bytes, T::KIND);
        head(&mut bytes, T::VERSION);
        let body = bytes.len();
        record
            .write_body(&mut bytes)
            .map_err(|e| std::io::Error::other(format!("unable to encode {}: {e}", T::NAME)))?;
        if bytes.len() > crate::MAX_RECORD {
            return Err(std::io::Error::other(format!("a {} record is too long", T::NAME)).into());
        }
        Ok(Self { kind: T::KIND, version: T::VERSION, bytes, body, at: 0 })
    }

    /// A record from its parts; `body` is one CBOR item.
    pub fn from_parts(kind: u16, version: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0x83];
        head(&mut bytes, kind);
        head(&mut bytes, version);
        let start = bytes.len();
        bytes.extend_from_slice(body);
        Self { kind, version, bytes, body: start, at: 0 }
    }

    /// What a failed tool writes instead of End.
    pub(crate) fn abort(code: u8) -> Self {
        let mut body = Vec::new();
        head(&mut body, code.into());
        Self::from_parts(crate::ABORT, 1, &body)
    }

    /// The record at the start of `bytes`, for those that stand in an index; `at` is their offset.
    pub fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        let mut record = crate::Reader::of_record(bytes).record_item()?;
        record.at = at;
        Ok(record)
    }

    /// Is it of this kind, whatever its version?
    pub fn is<T: Record>(&self) -> bool {
        self.kind == T::KIND
    }

    /// The record, if it is of this kind and version, and of a body that takes no more memory than a small multiple of
    /// its length (FORMAT.md).
    ///
    /// # Errors
    /// [`Error::Damaged`], exit code 4.
    pub fn decode<T: Record>(&self) -> Result<T> {
        if (self.kind, self.version) != (T::KIND, T::VERSION) {
            let problem = format!("kind {} version {} is not {}", self.kind, self.version, T::NAME);
            return Err(Error::damaged(self.at, problem));
        }
        self.read_body(T::NAME, |rest| T::read_body(rest))
    }

    /// The CBOR of the body alone.
    pub fn body_bytes(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// Decodes the body alone, of a kind that is none of the list; `name` is for the error.
    ///
    /// # Errors
    /// As [`RawRecord::decode`].
    pub fn body<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.read_body(name, |rest| ciborium::from_reader(rest).map_err(|e| e.to_string()))
    }

    fn read_body<T>(
        &self,
        name: &str,
        read: impl FnOnce(&mut &[u8]) -> Result<T, String>,
    ) -> Result<T> {
        if !crate::cbor::is_dense(self.body_bytes()) {
            let problem = format!("{name}: too many items for its length");
            return Err(Error::damaged(self.at, problem));
        }
        let mut rest = self.body_bytes();
        let value = read(&mut rest).map_err(|e| Error::damaged(self.at, format!("{name}: {e}")))?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(Error::damaged(self.at, format!("{name}: bytes behind its body")))
        }
    }
}

/// Shortest head of an unsigned integer.
fn head(bytes: &mut Vec<u8>, value: u16) {
    match value {
        0..=23 => bytes.push(value as u8),
        24..=255 => bytes.extend([0x18, value as u8]),
        _ => {
            bytes.push(0x19);
            bytes.extend(value.to_be_bytes());
        }
    }
}
